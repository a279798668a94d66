"""How long a batch waits for images that are still being prepared."""

import time
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest

from shared.model_spec import EngineOptions
from shared.vocabulary import Priority
from tests.engines import item
from workers.engine.batching import BatchQueue
from workers.engine.forming import BATCHES_AHEAD, BatchFormer
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


def test_a_batch_that_is_prepared_does_not_wait(pool: HeldPool, lookahead: Lookahead) -> None:
    batch = begun(lookahead, 2)
    pool.finish(0, 1)
    assert not lookahead.waits_for(batch, PATIENCE_S, now=100)
    assert lookahead.remaining(100) == 0


def test_a_batch_waits_until_its_images_are_prepared(pool: HeldPool, lookahead: Lookahead) -> None:
    batch = begun(lookahead, 3)
    pool.finish(0)
    assert lookahead.waits_for(batch, PATIENCE_S, now=100)
    assert lookahead.remaining(100) == pytest.approx(PATIENCE_S)
    pool.finish(1)
    assert lookahead.remaining(100.01) == pytest.approx(PATIENCE_S - 0.01)
    pool.finish(2)
    assert lookahead.remaining(100.02) == 0
    assert not any(job.is_late for job in batch)


@pytest.mark.parametrize(("patience_s", "wait_s"), [(0.0, LEAST_S), (60.0, LONGEST_S)])
def test_every_wait_has_its_bounds(lookahead: Lookahead, patience_s: float, wait_s: float) -> None:
    assert lookahead.waits_for(begun(lookahead, 1), patience_s, now=100)
    assert lookahead.remaining(100) == pytest.approx(wait_s)


@pytest.mark.parametrize(
    ("fixed_s", "on_accelerator", "wait_s"),
    [(0.02, True, 0.02), (1.0, True, 0.05), (None, True, 0.05), (0.02, False, 0.05)],
)
def test_an_accelerator_stands_still_no_longer_than_a_batch_more_would_cost(
    monkeypatch: pytest.MonkeyPatch,
    lookahead: Lookahead,
    *,
    fixed_s: float | None,
    on_accelerator: bool,
    wait_s: float,
) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    queue = BatchQueue()
    former = BatchFormer(queue, BatchSizer(EngineOptions(max_batch=8)), lookahead)
    former.batch_ended(0, 0.1, fixed_s=fixed_s, on_accelerator=on_accelerator)
    queue.add(*begun(lookahead, 1))
    assert former.take_batch(ModelFacts()) == []
    assert former.waits_s() == pytest.approx(wait_s)


def test_a_job_is_waited_for_once(lookahead: Lookahead) -> None:
    (job,) = begun(lookahead, 1)
    assert lookahead.waits_for([job], PATIENCE_S, now=100)
    assert lookahead.remaining(100 + PATIENCE_S) == 0
    assert job.is_late


def test_those_that_come_during_the_wait_do_not_make_it_longer(
    pool: HeldPool, lookahead: Lookahead, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients come back one after the other: one of them is always being prepared."""
    monkeypatch.setattr("workers.engine.lookahead.LEAST_S", LONGEST_S)
    queue = BatchQueue()
    former = BatchFormer(queue, BatchSizer(EngineOptions(max_batch=8)), lookahead)
    jobs = begun(lookahead, 2)
    for job in jobs:
        queue.add(job)
    pool.finish(0)
    assert former.take_batch(ModelFacts()) == []
    pool.finish(1)
    jobs += begun(lookahead, 2)
    for job in jobs[2:]:
        queue.add(job)
    pool.finish(2)
    assert former.waits_s() == 0
    assert former.take_batch(ModelFacts()) == jobs[:3]


def test_who_comes_to_the_front_has_its_images_prepared(
    pool: HeldPool, lookahead: Lookahead
) -> None:
    """Jobs that came before the model was ready, of which those in front are given up."""
    process: Any = SimpleNamespace(generation=1, facts=ModelFacts(preparation=PREPARATION))
    queue = BatchQueue()
    former = BatchFormer(queue, BatchSizer(EngineOptions(max_batch=1)), lookahead)
    jobs = [item(number) for number in range(BATCHES_AHEAD + 1)]
    for job in jobs:
        queue.add(job)
    former.prepare_ahead(process, None)
    assert len(pool.images) == BATCHES_AHEAD
    queue.drop_unwanted([job.task_id for job in jobs[:BATCHES_AHEAD]])
    former.prepare_ahead(process, None)
    assert len(pool.images) == BATCHES_AHEAD + 1


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
