"""``vision pull`` and ``vision logs``: what works where the service itself is."""

import os
import shutil
import subprocess
import sys
from typing import Annotated

import typer

from vision import exits
from vision.console import say
from vision.here import checkout, logs, worker_python
from vision.options import DEFAULT_URL, Url
from vision.service import host_and_port

LINES = 20
"""Of each log, from before the command began."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(pull)
    app.command(name="logs")(show_logs)


def pull(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="Models of the catalogue.", metavar="MODEL", show_default="those of VISION_MODELS"
        ),
    ] = None,
) -> None:
    """Download weights in advance; those that are already there are only checked."""
    python = worker_python()
    if python is None:
        say(
            "Weights are fetched where a worker runs, and here are no packages of a worker. Run "
            "this there: in the service's checkout after `make run`, or with Docker as "
            "`docker compose run --rm worker-captions vision pull MODEL`.",
            "red",
        )
        raise typer.Exit(exits.UNAVAILABLE)
    try:
        done = subprocess.run(
            [python, "-m", "workers.model.pull", *(names or ())], cwd=checkout(), check=False
        )
    except KeyboardInterrupt:
        say("What has arrived is kept; the same command continues from there.")
        raise typer.Exit(exits.INTERRUPTED) from None
    if done.returncode:
        raise typer.Exit(exits.FAILED)


def show_logs(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="Names of logs, such as `api` or `worker-opennsfw`.",
            metavar="NAME…",
            show_default="all",
        ),
    ] = None,
    url: Url = DEFAULT_URL,
    *,
    follow: Annotated[
        bool, typer.Option("--follow/--no-follow", help="Continue until Ctrl-C.")
    ] = True,
) -> None:
    """Follow the logs of a service that `make run` has started on this machine."""
    place = host_and_port(url)
    if place is None:
        say(f"{url!r} is not an address of a service. Write it as {DEFAULT_URL}", "red")
        raise typer.Exit(exits.USAGE)
    found = logs(place[1])
    shown = [path for path in found if not names or path.stem in names]
    if not shown:
        if found:
            say(f"There are these logs: {', '.join(path.stem for path in found)}.", "red")
        else:
            say(
                f"`make run` has not started a service at {url} from this folder. For Docker, "
                "use: docker compose logs --follow --tail 100",
                "red",
            )
        raise typer.Exit(exits.UNAVAILABLE)
    tail = shutil.which("tail") or "tail"
    options = [f"--lines={LINES}", *(["--follow=name", "--retry"] if follow else [])]
    sys.stdout.flush()
    os.execv(tail, [tail, *options, *map(str, shown)])  # noqa: S606 - Ctrl-C is then tail's
