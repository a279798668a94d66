"""A full batch is given to the model process of an accelerator while it runs another one."""

import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import pytest

from shared.errors import ModelFailed
from shared.tasks import CAPTION, NSFW
from tests.engines import (
    begin,
    expected,
    item,
    running,
    standing_still,
    texts_of,
)
from tests.stack import wait_for
from workers.engine import forming
from workers.engine.job import EngineJob, Requeued
from workers.engine.local import LocalEngine
from workers.engine.pace import Kind, Pace
from workers.engine.process import ModelProcess

HANGS, NEEDS_TOO_MUCH = 240, 250


class Given(list[tuple[int, list[EngineJob]]]):
    """The batches that processes were given, with the number of the process."""

    def jobs(self) -> list[list[EngineJob]]:
        return [jobs for _, jobs in self]

    def process_of(self, job: EngineJob) -> int:
        (process,) = [number for number, jobs in self if job in jobs]
        return process


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Given:
    found, run = Given(), ModelProcess.run

    def note(process: ModelProcess, jobs: list[EngineJob], max_images: int) -> None:
        found.append((process.generation, list(jobs)))
        run(process, jobs, max_images)

    monkeypatch.setattr(ModelProcess, "run", note)
    return found


@pytest.fixture(autouse=True)
def _any_batch_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the machine is busy with."""
    monkeypatch.setattr(forming, "AHEAD_S", 60.0)


@contextmanager
def warm(
    *,
    accelerator: str = "a GPU",
    jobs: int = 2,
    engine: Mapping[str, object] = MappingProxyType({}),
    **parameters: Any,
) -> Iterator[LocalEngine]:
    """An engine with batches of two, after one batch of so many jobs."""
    options = {"max_batch": 2, **engine}
    with running(accelerator=accelerator, engine=options, **parameters) as started:
        before, last = [item(100)], [item(101) for _ in range(jobs)]
        with standing_still(started):
            begin(started, before, last)
        texts_of([*before, *last])
        wait_for("the figures", lambda: jobs in started.status.batches)
        yield started


def begin_two(engine: LocalEngine, given: Given, *batches: list[EngineJob]) -> None:
    """Have a batch begin in a process that stands still, and the next one be given to it."""
    begin(engine, *batches)
    wait_for("the batch ahead", lambda: batches[1] in given.jobs())


def two_batches() -> tuple[list[EngineJob], list[EngineJob]]:
    """The first job to come begins alone."""
    return [item(1)], [item(2), item(3)]


def test_a_full_batch_is_given_while_another_one_runs(given: Given) -> None:
    first, second = two_batches()
    with warm() as engine:
        with standing_still(engine):
            begin_two(engine, given, first, second)
        assert texts_of([*first, *second]) == expected((1, 2, 3))
        assert engine.concurrency == 6  # the batch after it is then prepared


def test_a_drain_finishes_what_was_given(given: Given) -> None:
    first, second = two_batches()
    with warm() as engine:
        with standing_still(engine):
            begin_two(engine, given, first, second)
            third = [item(4), item(5)]
            for job in third:
                engine.submit(job)
            engine.drain()
            assert {type(job.future.exception(30)) for job in third} == {Requeued}
        assert texts_of([*first, *second]) == expected((1, 2, 3))


@pytest.mark.parametrize(
    ("case", "settings"),
    [
        ("the cores run the model", {"accelerator": ""}),
        ("the last batch was smaller", {"jobs": 1}),
    ],
)
def test_other_batches_wait_for_the_end_of_the_running_one(
    case: str, settings: dict[str, Any]
) -> None:
    del case
    first, second = two_batches()
    with warm(**settings) as engine:
        assert_waits(engine, first, second)


def test_batches_wait_while_they_take_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forming, "AHEAD_S", -1.0)
    with warm() as engine:
        assert_waits(engine, *two_batches())


@pytest.mark.parametrize(
    "prompts_and_tasks",
    [
        pytest.param([("a", CAPTION), ("b", CAPTION)], id="half a batch"),
        pytest.param([("", NSFW), ("", NSFW)], id="a batch that may take longer"),
    ],
)
def test_batches_unlike_the_running_one_wait(
    prompts_and_tasks: list[tuple[str, str]],
) -> None:
    second = [item(2, prompt=prompt, tasks=(task,)) for prompt, task in prompts_and_tasks]
    with warm() as engine:
        assert_waits(engine, [item(1)], second)


def assert_waits(engine: LocalEngine, first: list[EngineJob], second: list[EngineJob]) -> None:
    """Have an engine drained, which puts what it has not given back on the queue."""
    with standing_still(engine):
        begin(engine, first, second)
        engine.drain()
        assert {type(job.future.exception(30)) for job in second} == {Requeued}
    assert texts_of(first) == expected((1,))


def test_jobs_that_were_given_ahead_are_no_suspects_when_the_process_dies(given: Given) -> None:
    first, second = two_batches()
    with warm() as engine:
        with standing_still(engine):
            begin_two(engine, given, first, second)
            os.kill(engine.status.model_pid, signal.SIGKILL)
        assert texts_of([*first, *second]) == expected((1, 2, 3))
        assert given.jobs().count(second) == 2
        assert engine.status.recycles == {"crash": 1}


def test_a_batch_that_hangs_costs_the_next_one_nothing_but_time(given: Given) -> None:
    first, second = [item(HANGS)], [item(2), item(3)]
    with warm(hang_on_red=HANGS, engine={"batch_timeout_s": 3}) as engine:
        with standing_still(engine):
            begin_two(engine, given, first, second)
        assert texts_of(second) == expected((2, 3))
        with pytest.raises(ModelFailed):
            first[0].future.result(30)


def test_a_batch_is_run_by_the_next_process_if_memory_ran_out_with_one_image(given: Given) -> None:
    first, second = [item(NEEDS_TOO_MUCH)], [item(2), item(3)]
    with warm(out_of_memory_on_red=NEEDS_TOO_MUCH) as engine:
        with standing_still(engine):
            begin_two(engine, given, first, second)
        assert texts_of(second) == expected((2, 3))
        with pytest.raises(ModelFailed):
            first[0].future.result(30)


def test_a_restart_is_carried_out_although_full_batches_wait(given: Given) -> None:
    first, second = two_batches()
    third, fourth = [item(4), item(5)], [item(6), item(7)]
    with warm(engine={"standby": "off"}) as engine:
        with standing_still(engine):
            begin_two(engine, given, first, second)
            engine.recycle()
            for job in (*third, *fourth):
                engine.submit(job)
        assert texts_of([*first, *second, *third, *fourth]) == expected((1, 2, 3, 4, 5, 6, 7))
        old = [given.process_of(job) for job in second]
        assert max(old) < min(given.process_of(job) for job in (*third, *fourth))
        assert engine.status.recycles == {"operator": 1}


def test_a_batch_that_begins_while_the_engine_is_busy_does_not_count_as_quick(
    given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else clients would not be waited for where that pays."""
    recorded: list[float] = []
    record = Pace.record

    def note(pace: Pace, kind: Kind, images: int, seconds: float) -> None:
        recorded.append(seconds)
        record(pace, kind, images, seconds)

    monkeypatch.setattr(Pace, "record", note)
    first, second = two_batches()
    with warm(predict_s=0.1) as engine:
        with standing_still(engine):
            begin_two(engine, given, first, second)
        first[0].future.add_done_callback(lambda _: time.sleep(0.3))
        texts_of([*first, *second])
    assert min(recorded) >= 0.1
