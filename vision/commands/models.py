"""``vision models``, ``recycle``, ``unload`` and ``top``: what runs, and commands to it."""

import json
import time
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.live import Live

from vision import exits
from vision.console import put, results, say
from vision.options import DEFAULT_URL, Json, Key, Url
from vision.schemas import Model, Run
from vision.service import Service, ServiceError
from vision.tables import models_table, runs_table, workers_table

Names = Annotated[list[str], typer.Argument(help="Names of models.", metavar="MODEL")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (models, recycle, unload, top):
        app.command()(command)


def models(
    url: Url = DEFAULT_URL,
    key: Key = "",
    *,
    json_: Json = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Also list models of the catalogue that do not run.")
    ] = False,
) -> None:
    """List the models that run: tasks, state, workers, device, queue and memory."""
    service = Service(url, key)
    found, missing = service.models(), service.not_ready()
    shown = [
        model for model in found if everything or json_ or model.workers or model.name in missing
    ]
    if json_:
        rows = [{**model.model_dump(), "missing": missing.get(model.name)} for model in shown]
        put(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    results.print(models_table(shown, missing))
    if hidden := len(found) - len(shown):
        say(f"{hidden} more models are in the catalogue but do not run: vision models --all", "dim")


def recycle(names: Names, url: Url = DEFAULT_URL, key: Key = "") -> None:
    """Replace the processes of models on all their workers; no request fails meanwhile."""
    _command(Service(url, key), names, "recycle", "is being replaced")


def unload(names: Names, url: Url = DEFAULT_URL, key: Key = "") -> None:
    """Free the memory of models; the next request loads them again."""
    _command(Service(url, key), names, "unload", "is being unloaded")


def top(
    url: Url = DEFAULT_URL,
    key: Key = "",
    interval: Annotated[
        float, typer.Option(min=0.2, help="Seconds between two updates.", metavar="SECONDS")
    ] = 1.0,
) -> None:
    """Watch the workers in a live table, until Ctrl-C."""
    view = _View(Service(url, key))
    if not results.is_terminal:
        results.print(view.look())
        return
    try:
        with Live(console=results, screen=True, auto_refresh=False) as live:
            while True:
                live.update(view.look(), refresh=True)
                time.sleep(interval)
    except KeyboardInterrupt:
        return


class _View:
    """What `top` shows: workers and, to operators, runs of bulk work."""

    def __init__(self, service: Service) -> None:
        self._service, self._shows_runs = service, True

    def look(self) -> RenderableType:
        """Return what there is now."""
        workers = workers_table(self._service.models())
        runs = [run for run in self._runs() if run.is_under_way]
        return Group(workers, runs_table(runs)) if runs else workers

    def _runs(self) -> list[Run]:
        if not self._shows_runs:
            return []
        try:
            return self._service.runs()
        except ServiceError as err:  # not for us, or the service is older; else perhaps next time
            self._shows_runs = err.status not in (401, 403, 404)
            return []


def _command(service: Service, names: list[str], command: str, what: str) -> None:
    silent = False
    for name in names:
        workers = service.command(_full_name(service.models(), name), command)
        for worker in workers:
            say(f"{name} {what} on {worker}.")
        if not workers:
            say(f"No worker of {name} confirmed it in time; `vision top` shows their states.")
            silent = True
    if silent:
        raise typer.Exit(exits.FAILED)


def _full_name(models: list[Model], name: str) -> str:
    """Return the name of the row; the service says what there is if there is no such model."""
    return next((model.name for model in models if name in model.names), name)
