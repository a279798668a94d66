"""How long a batch waits for images that are still being prepared."""

import time
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest

from shared.errors import UndecodableImage
from shared.model_spec import EngineOptions
from shared.vocabulary import Priority
from tests.engines import item
from workers.engine.batching import BatchQueue
from workers.engine.forming import BatchFormer
from workers.engine.job import EngineJob
from workers.engine.lookahead import LEAST_S, LONGEST_S, Lookahead
from workers.engine.sizing import BatchSizer
from workers.model.protocol import ModelFacts
from workers.preparing.preparation import Preparation, Prepared

PATIENCE_S = 0.05
PREPARATION = Preparation(target="nobody:calls_it")


class HeldPool:
    """Prepares images when a test says so."""

    def __init__(self) -> None:
        self.images: list[Future[Prepared]] = []

    def submit(
        self, data: bytes, preparation: Preparation, priority: Priority = Priority.PERSON
    ) -> "Future[Prepared]":
        del data, preparation, priority
        self.images.append(Future())
        return self.images[-1]

    def finish(self, *numbers: int) -> None:
        for number in numbers:
            self.images[number].set_result(Prepared(b""))


@pytest.fixture
def pool() -> HeldPool:
    return HeldPool()


@pytest.fixture
def lookahead(pool: HeldPool) -> Lookahead:
    return Lookahead(pool, lambda: None)


def begun(lookahead: Lookahead, count: int) -> list[EngineJob]:
    """Jobs whose images are being prepared."""
    jobs = [item(number) for number in range(count)]
    lookahead.prepare(jobs, PREPARATION)
    return jobs


def test_a_batch_that_is_prepared_does_not_wait(lookahead: Lookahead) -> None:
    assert not lookahead.waits_for([], PATIENCE_S, now=100)


def test_a_batch_waits_until_its_images_are_prepared(pool: HeldPool, lookahead: Lookahead) -> None:
    first, second = begun(lookahead, 2)
    assert lookahead.waits_for([first, second], PATIENCE_S, now=100)
    assert lookahead.until == pytest.approx(100 + PATIENCE_S)
    pool.finish(0)
    assert lookahead.waits_for([second], PATIENCE_S, now=100.01)
    assert lookahead.until == pytest.approx(100 + PATIENCE_S)
    pool.finish(1)
    assert not lookahead.waits_for([], PATIENCE_S, now=100.02)
    assert not first.is_late
    assert not second.is_late


@pytest.mark.parametrize(("patience_s", "wait_s"), [(0.0, LEAST_S), (60.0, LONGEST_S)])
def test_every_wait_has_its_bounds(lookahead: Lookahead, patience_s: float, wait_s: float) -> None:
    assert lookahead.waits_for(begun(lookahead, 1), patience_s, now=100)
    assert lookahead.until == pytest.approx(100 + wait_s)


def test_a_job_is_waited_for_once(lookahead: Lookahead) -> None:
    (job,) = begun(lookahead, 1)
    assert lookahead.waits_for([job], PATIENCE_S, now=100)
    assert not lookahead.waits_for([job], PATIENCE_S, now=100 + PATIENCE_S)
    assert job.is_late


def test_those_that_come_during_the_wait_do_not_make_it_longer(
    pool: HeldPool, lookahead: Lookahead
) -> None:
    """Clients come back one after the other: one of them is always being prepared."""
    first, second, third = begun(lookahead, 3)
    assert lookahead.waits_for([first, second], PATIENCE_S, now=100)
    pool.finish(0, 1)
    assert not lookahead.waits_for([third], PATIENCE_S, now=100.01)
    assert not third.is_late
    assert lookahead.waits_for([third], PATIENCE_S, now=100.02), "the batch after that one"


def test_a_job_that_is_prepared_anew_is_not_ready_before_that(
    monkeypatch: pytest.MonkeyPatch, pool: HeldPool, lookahead: Lookahead
) -> None:
    """An image that a former process needed otherwise is done while it is given up."""
    (job,) = begun(lookahead, 1)
    pool.images[0].set_running_or_notify_cancel()
    ready_at_submit: list[bool] = []

    def finish_the_old_one(*_: object) -> "Future[Prepared]":
        pool.finish(0)
        ready_at_submit.append(job.is_prepared)
        return Future()

    monkeypatch.setattr(pool, "submit", finish_the_old_one)
    lookahead.prepare([job], Preparation(target="another:one"))
    assert ready_at_submit == [False]
    assert not job.is_prepared


class Forming:
    """Batches of up to 2 images; the time stands still at 100."""

    def __init__(self, pool: HeldPool, lookahead: Lookahead) -> None:
        self.pool, self.lookahead, self.queue = pool, lookahead, BatchQueue()
        self.former = BatchFormer(self.queue, BatchSizer(EngineOptions(max_batch=2)), lookahead)

    def add(self, count: int) -> list[EngineJob]:
        jobs = begun(self.lookahead, count)
        for job in jobs:
            self.queue.add(job)
        return jobs

    def take(self) -> list[EngineJob]:
        return self.former.take_batch(ModelFacts())


@pytest.fixture
def forming(monkeypatch: pytest.MonkeyPatch, pool: HeldPool, lookahead: Lookahead) -> Forming:
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    return Forming(pool, lookahead)


@pytest.mark.parametrize(
    ("fixed_s", "on_accelerator", "wait_s"),
    [(0.02, True, 0.02), (1.0, True, 0.05), (None, True, 0.05), (0.02, False, 0.05)],
)
def test_an_accelerator_stands_still_no_longer_than_a_batch_more_would_cost(
    forming: Forming, *, fixed_s: float | None, on_accelerator: bool, wait_s: float
) -> None:
    forming.former.batch_ended(0, 0.1, fixed_s=fixed_s, on_accelerator=on_accelerator)
    forming.add(1)
    assert forming.take() == []
    assert forming.former.resumes_at == pytest.approx(100 + wait_s)


def test_a_batch_that_waits_begins_with_what_is_prepared_then(forming: Forming) -> None:
    first, second = forming.add(2)
    forming.pool.finish(0)
    assert forming.take() == forming.take() == []
    forming.pool.finish(1)
    assert forming.take() == [first, second]


def test_nobody_waits_for_a_job_that_was_given_up(forming: Forming) -> None:
    given_up, other = forming.add(2)
    forming.pool.finish(1)
    assert forming.take() == []
    forming.queue.drop_unwanted([given_up.task_id])
    assert forming.take() == [other]


def test_a_full_batch_does_not_wait_for_an_image_that_is_not_part_of_it(forming: Forming) -> None:
    forming.add(1)
    assert forming.take() == []
    persons = [item(number) for number in (1, 2)]
    forming.lookahead.prepare(persons, PREPARATION)
    forming.queue.put_back(persons)  # in front, as persons are of bulk work
    forming.pool.finish(1, 2)
    assert forming.take() == persons


def test_a_job_whose_image_proves_unreadable_at_the_last_moment_is_not_run(
    forming: Forming,
) -> None:
    unreadable, other = forming.add(2)
    forming.pool.images[0].set_exception(UndecodableImage("This is no image."))
    forming.pool.finish(1)
    assert forming.take() == [other]
    assert isinstance(unreadable.future.exception(), UndecodableImage)
    assert len(forming.queue) == 0


def test_a_process_does_not_get_an_unreadable_image_in_advance(forming: Forming) -> None:
    held: list[EngineJob] = []
    process: Any = SimpleNamespace(hold=held.append)
    _, other = forming.add(2)
    forming.pool.images[0].set_exception(UndecodableImage("This is no image."))
    forming.pool.finish(1)
    forming.former.hold_ahead(process)
    assert held == [other]
