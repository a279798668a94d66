"""``python -m workers.model.pull [MODEL…]``: fetches weights before a worker needs them.

On a terminal a bar shows how far it is, and elsewhere lines of a log do.
"""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import structlog
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from shared.catalog import Catalog
from shared.errors import NotOffered
from shared.log import configure_logging
from shared.model_spec import ModelSpec
from shared.settings import Settings, get_settings
from workers.model.family import LoadError
from workers.model.hub import Fetched
from workers.model.weights import Report, ensure_weights

SPEED_S = 60.0
"""The rate is that of so long a time: files grow by 10 MB at once."""
INTERRUPTED = 130
"""The exit status after Ctrl-C, as of shells."""

log = structlog.get_logger(__name__)


def pull(settings: Settings, names: Sequence[str]) -> None:
    """Fetch what is missing of models of the catalogue.

    Raises:
        LoadError: weights cannot be fetched.
        NotOffered, ValueError: there is no such model, or the catalogue is wrong.
    """
    catalog = Catalog.load(settings.catalog)
    specs = [catalog.get(name) for name in names or settings.models]
    console = Console(stderr=True, highlight=False)
    if console.is_terminal:
        _show(console, settings, specs)
        return
    _log_to_stderr(settings)
    for spec in specs:

        def report(fetched: Fetched, spec: ModelSpec = spec) -> None:
            log.info("downloading", model=spec.name, progress=str(fetched))

        folder = _ensure(spec, settings, report)
        log.info("weights are available", model=spec.name, folder=str(folder or "a Python package"))


def _show(console: Console, settings: Settings, specs: Sequence[ModelSpec]) -> None:
    """Fetch with a bar for each model; warnings stand above them."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        speed_estimate_period=SPEED_S,
    ) as bars:
        # Its thread may be drawing, and others be fetching: what has arrived survives any end.
        signal.signal(signal.SIGINT, lambda *_: _leave(bars))
        _log_to_stderr(settings.model_copy(update={"log_level": "WARNING"}))
        for spec in specs:
            bar = bars.add_task(spec.name, total=None)

            def report(fetched: Fetched, bar: TaskID = bar) -> None:
                bars.update(bar, completed=fetched.done, total=fetched.total)

            folder = _ensure(spec, settings, report)
            bars.remove_task(bar)
            where = f"in {folder}" if folder else "part of a Python package"
            console.print(Text(f"{spec.name}: the weights are {where}."), soft_wrap=True)


def _leave(bars: Progress) -> NoReturn:
    bars.stop()  # else the terminal stays without a cursor
    os._exit(INTERRUPTED)


def _ensure(spec: ModelSpec, settings: Settings, report: Report) -> Path | None:
    """Return the folder of a model's weights; ``None``: a package brings them."""
    if not (spec.source or spec.files):
        return None
    return ensure_weights(spec, settings.models_dir, report)


def _log_to_stderr(settings: Settings) -> None:
    configure_logging(settings.model_copy(update={"log_format": "console"}), "models")


if __name__ == "__main__":
    try:
        pull(get_settings(), sys.argv[1:])
    except (LoadError, NotOffered, ValueError) as err:
        sys.exit(str(err))
