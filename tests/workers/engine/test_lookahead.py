"""How long a batch waits for images that are still being prepared."""

from concurrent.futures import Future

import pytest

from shared.model_spec import EngineOptions
from shared.vocabulary import Priority
from tests.engines import item
from workers.engine.batching import BatchQueue
from workers.engine.forming import BatchFormer
from workers.engine.job import EngineJob
from workers.engine.lookahead import LEAST_S, LONGEST_S, PATIENCE_SHARE, Lookahead
from workers.engine.sizing import BatchSizer
from workers.model.protocol import ModelFacts
from workers.preparing.preparation import Preparation, Prepared

BATCH_S, FIXED_S = 0.1, 0.02
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
    assert not lookahead.waits_for(batch, BATCH_S, None, now=100)
    assert lookahead.remaining(100) == 0


def test_a_batch_waits_until_its_images_are_prepared(pool: HeldPool, lookahead: Lookahead) -> None:
    batch = begun(lookahead, 3)
    pool.finish(0)
    assert lookahead.waits_for(batch, BATCH_S, None, now=100)
    assert lookahead.remaining(100) == pytest.approx(PATIENCE_SHARE * BATCH_S)
    pool.finish(1)
    assert lookahead.remaining(100.01) == pytest.approx(PATIENCE_SHARE * BATCH_S - 0.01)
    pool.finish(2)
    assert lookahead.remaining(100.02) == 0
    assert not any(job.is_late for job in batch)


@pytest.mark.parametrize(
    ("batch_s", "fixed_s", "wait_s"),
    [
        (BATCH_S, FIXED_S, FIXED_S),
        (BATCH_S, 0.0, LEAST_S),
        (BATCH_S, 1.0, PATIENCE_SHARE * BATCH_S),
        (60.0, None, LONGEST_S),
        (0.0, None, LEAST_S),
    ],
)
def test_no_wait_is_longer_than_a_batch_more_would_cost(
    lookahead: Lookahead, batch_s: float, fixed_s: float | None, wait_s: float
) -> None:
    assert lookahead.waits_for(begun(lookahead, 1), batch_s, fixed_s, now=100)
    assert lookahead.remaining(100) == pytest.approx(wait_s)


def test_a_job_is_waited_for_once(lookahead: Lookahead) -> None:
    (job,) = begun(lookahead, 1)
    assert lookahead.waits_for([job], BATCH_S, None, now=100)
    assert lookahead.remaining(100 + BATCH_S) == 0
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
