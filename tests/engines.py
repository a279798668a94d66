"""Engines with the fake model in real processes."""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import psutil

from shared.messages import Job, Outcome
from shared.model_spec import ModelSpec
from shared.settings import Settings
from shared.tasks import CAPTION
from shared.vocabulary import WorkerState
from tests.conftest import plain
from tests.stack import wait_for
from workers.engine.job import EngineJob
from workers.engine.local import LocalEngine

FindCancelled = Callable[[Sequence[str]], set[str]]
_task_numbers = itertools.count()


@contextmanager
def running(
    find_cancelled: FindCancelled = lambda _: set(),
    engine: dict[str, Any] | None = None,
    **parameters: Any,
) -> Iterator[LocalEngine]:
    row = {"name": "fake", "family": "fake", "parameters": parameters, "engine": engine or {}}
    with running_row(row, Settings(load_timeout_s=60), find_cancelled) as started:
        yield started


@contextmanager
def running_row(
    row: dict[str, Any], settings: Settings, find_cancelled: FindCancelled = lambda _: set()
) -> Iterator[LocalEngine]:
    """The engine of any row of a catalogue."""
    started = LocalEngine(settings, ModelSpec.model_validate(row), find_cancelled)
    started.start()
    try:
        yield started
    finally:
        started.close()


@contextmanager
def standing_still(engine: LocalEngine) -> Iterator[None]:
    """Have the model process begin a batch and not end it, whatever the machine is busy with."""
    wait_for("the model", lambda: engine.status.state == WorkerState.READY)
    process = psutil.Process(engine.status.model_pid)
    process.suspend()
    try:
        yield
    finally:
        with suppress(psutil.NoSuchProcess):
            process.resume()


def begin(engine: LocalEngine, *batches: Sequence[EngineJob]) -> None:
    """Have the first batch begin in a process that stands still; prepare the images of the next."""
    for number, batch in enumerate(batches):
        for job in batch:
            engine.submit(job)
        if number == 0:
            wait_for("the batch", lambda: engine.status.state == WorkerState.BUSY)
        wait_for("the images", partial(_are_prepared, batch))


def _are_prepared(jobs: Sequence[EngineJob]) -> bool:
    return all(job.is_prepared for job in jobs)


def item(*reds: int, green: int = 0, deadline_s: float = 60, **changes: Any) -> EngineJob:
    job = Job(request_id="r", tasks=(CAPTION,), images=("k",), deadline=time.time() + deadline_s)
    task_id = f"task-{next(_task_numbers)}"
    return EngineJob(task_id, job.model_copy(update=changes), [plain(red, green) for red in reds])


def text_of(future: "Future[Outcome]") -> str:
    return str(future.result(90).result[CAPTION].text)


def texts_of(jobs: Sequence[EngineJob]) -> list[str]:
    return [text_of(job.future) for job in jobs]


def caption(engine: LocalEngine, red: int) -> str:
    return text_of(engine.submit(item(red)))


def captions(engine: LocalEngine, reds: Sequence[int]) -> list[str]:
    futures = [engine.submit(item(red)) for red in reds]
    return [text_of(future) for future in futures]


def expected(reds: Sequence[int]) -> list[str]:
    return [f"rgb {red} 0 0" for red in reds]
