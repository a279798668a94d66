"""``vision bench``: photos per hour of each model, here and now."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated
from uuid import uuid4

import typer

from vision import exits
from vision.choice import NoModel, find
from vision.console import notes, put, results, say
from vision.measuring import Measured, photo, rate_table
from vision.options import DEFAULT_URL, Json, Key, Url
from vision.runner.asking import Asker, GaveUp
from vision.runner.capacity import capacity
from vision.runner.gate import Gate
from vision.runner.journal import Journal
from vision.runner.run import Runner
from vision.runner.work import Question
from vision.schemas import BASE_TASKS, OLLAMA, Model
from vision.service import Service

PATIENCE_S = 60.0
"""How long a model may answer nobody, if no less is asked for."""
KINDS = 16
"""Different photos; each request has one of them, and a number of its own."""


@dataclass(frozen=True)
class Generated:
    """A generated photo, as an item of a run."""

    name: str
    content: bytes

    @property
    def shown(self) -> str:
        """The same."""
        return self.name

    def open_tasks(self, tasks: Sequence[str]) -> Sequence[str]:
        """Return all: each answer counts."""
        return tasks

    def read(self) -> bytes:
        """Return the photo."""
        return self.content

    def stamp(self) -> tuple[int, int]:
        """Return that it never changes."""
        return len(self.content), 0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(bench)


def bench(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Models.", metavar="MODEL", show_default="all that run"),
    ] = None,
    url: Url = DEFAULT_URL,
    key: Key = "",
    *,
    photos: Annotated[
        int, typer.Option(min=1, metavar="N", help="Photos for each task of each model.")
    ] = 40,
    seconds: Annotated[
        float,
        typer.Option(min=1, metavar="SECONDS", help="Time limit for each measurement."),
    ] = 60,
    json_: Json = False,
) -> None:
    """Measure how many photos per hour the running models do, with generated photos.

    The service goes on answering other requests, so this measures the capacity that is left.
    """
    service = Service(url, key)
    models = service.models()
    try:
        wanted = [find(models, name) for name in names or ()] or [
            model for model in models if model.served and model.name != OLLAMA
        ]
    except NoModel as err:
        say(str(err), "red")
        raise typer.Exit(exits.USAGE) from err
    if not wanted:
        say("No model runs here.", "red")
        raise typer.Exit(exits.FAILED)
    if idle := [model.name for model in wanted if not model.runs]:
        say(f"No worker runs {', '.join(idle)}: see `vision models --all`.", "red")
        raise typer.Exit(exits.FAILED)
    pictures = [photo(number) for number in range(min(KINDS, photos))]
    found = []
    with notes.status("") as status:
        for model in wanted:
            for task in (task for task in BASE_TASKS if task in model.tasks):
                status.update(f"{task} of {model.name} …")
                found.append(_measure(service, model, task, pictures, photos, seconds))
    if json_:
        rows = [{**measured._asdict(), "per_hour": measured.per_hour} for measured in found]
        put(json.dumps(rows, indent=2))
    else:
        results.print(rate_table(found))
    if any(measured.failed for measured in found):
        raise typer.Exit(exits.FAILED)


def _measure(
    service: Service,
    model: Model,
    task: str,
    pictures: Sequence[bytes],
    photos: int,
    seconds: float,
) -> Measured:
    question = Question.of(task, model)
    gate = Gate(capacity(service.models(), [question]), tell=say)
    asker = Asker(service, gate, min(PATIENCE_S, seconds))
    with TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "journal.sqlite")
        runner = Runner(journal, [question], gate, asker)
        try:
            # The first photo may wait for the model to be loaded.
            for _ in runner.run(_items(pictures, 1)):
                pass
            return Measured.of(model.name, task, runner, _items(pictures, photos), seconds)
        except GaveUp as err:
            say(str(err), "red")
            return Measured(model.name, task, 0, 0.0, 1)
        finally:
            journal.close()


def _items(pictures: Sequence[bytes], count: int) -> Iterator[Generated]:
    run = uuid4()
    for number in range(count):
        yield Generated(f"{run}/{number}", pictures[number % len(pictures)])
