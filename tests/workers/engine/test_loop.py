"""The engine with the fake model in real processes: batches, errors, draining."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import psutil
import pytest

from shared.errors import ModelFailed, UndecodableImage
from shared.tasks import CAPTION, NSFW
from shared.vocabulary import Priority, WorkerState
from tests.engines import (
    begin,
    caption,
    captions,
    expected,
    item,
    running,
    standing_still,
    text_of,
    texts_of,
)
from tests.stack import wait_for
from workers.engine import forming, linger, lookahead
from workers.engine.job import Dropped, EngineJob, Requeued
from workers.engine.local import LocalEngine
from workers.model.protocol import ModelFacts

RAISES, CRASHES = 240, 250


@pytest.fixture(scope="module")
def engine() -> Iterator[LocalEngine]:
    """For tests after which it is as before them."""
    with running(raise_on_red=RAISES, crash_on_red=CRASHES) as started:
        yield started


# Batches


def test_jobs_are_answered_each_with_its_own_result(engine: LocalEngine) -> None:
    assert captions(engine, range(40)) == expected(range(40))


def test_what_queued_up_while_the_model_was_busy_becomes_one_batch() -> None:
    jobs = [item(red) for red in range(8)]
    with running(engine={"max_batch": 8}) as engine:
        with standing_still(engine):
            begin(engine, [item(9)], jobs)
        assert texts_of(jobs) == expected(range(8))
        assert engine.status.batches == {1: 1, 8: 1}


def test_a_person_joins_the_next_batch_while_bulk_work_waits() -> None:
    bulk = [item(red, priority=Priority.BULK) for red in range(12)]
    person = item(200)
    ended: list[EngineJob] = []
    for job in (*bulk, person):
        job.future.add_done_callback(partial(lambda job, _: ended.append(job), job))
    with running(engine={"max_batch": 4}) as engine:
        with standing_still(engine):
            begin(engine, [item(9, priority=Priority.BULK)], bulk, [person])
        assert texts_of([*bulk, person]) == expected((*range(12), 200))
        wait_for("the last one's end", lambda: len(ended) == 13)
    assert ended == [person, *bulk]


def test_a_client_that_asks_again_joins_those_that_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    """As soon as it has asked again, and its image is prepared, the next batch begins."""
    # So that a busy machine changes nothing.
    monkeypatch.setattr(linger, "SHARE", 1e6)
    monkeypatch.setattr(forming, "PATIENCE_SHARE", 1e6)
    for module in (linger, lookahead):
        monkeypatch.setattr(module, "LONGEST_S", 30.0)
    first, again, waiting = item(0), item(4), [item(red) for red in (1, 2, 3)]
    with running(engine={"max_batch": 8}) as engine:
        first.future.add_done_callback(lambda _: engine.submit(again))
        with standing_still(engine):
            begin(engine, [first], waiting)
        assert texts_of([*waiting, again]) == expected((1, 2, 3, 4))
        assert engine.status.batches == {1: 1, 4: 1}  # without a wait: 1, 3, 1


def test_clients_that_soon_come_back_form_one_batch() -> None:
    clients, rounds, tries = 4, 15, iter(range(10))
    with running(predict_s=0.1, image_s=0.01, engine={"max_batch": 8}) as engine:
        assert caption(engine, 0)

        def ask(red: int) -> None:
            for _ in range(rounds):
                assert caption(engine, red)
                time.sleep(0.02)  # an answer's way to a client, and its next request's way back

        def is_together() -> bool:
            """Whether half of a series are batches of all, and not two of two jobs each time."""
            assert next(tries, None) is not None, engine.status.batches
            before = engine.status.batches.get(clients, 0)
            with ThreadPoolExecutor(clients) as pool:
                list(pool.map(ask, range(clients)))
            return engine.status.batches.get(clients, 0) - before >= rounds // 2

        wait_for("a series that others do not disturb", is_together)


def test_a_bug_in_beginning_a_batch_costs_no_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    take = forming.BatchFormer.take_batch
    calls: list[str] = []

    def fail_after_the_first_batch(self: forming.BatchFormer, facts: ModelFacts) -> list[EngineJob]:
        if calls == ["a batch"]:
            calls.append("a bug")
            msg = "a bug of this test"
            raise RuntimeError(msg)
        batch = take(self, facts)
        calls.extend(["a batch"] if batch else [])
        return batch

    monkeypatch.setattr(forming.BatchFormer, "take_batch", fail_after_the_first_batch)
    with running() as engine:
        assert caption(engine, 1)
        assert caption(engine, 2)
    assert calls == ["a batch", "a bug", "a batch"]


def test_the_next_batch_is_begun_before_the_last_one_is_answered() -> None:
    """While the engine's thread answers the first job, the second one crashes the process."""
    first, second = item(1), item(2)
    with running(crash_on_red=2, engine={"max_batch": 1}) as engine:
        assert caption(engine, 0)
        process, seen = psutil.Process(engine.status.model_pid), []

        def crashed() -> bool:
            return not process.is_running()

        first.future.add_done_callback(lambda _: seen.append(wait_for("the crash", crashed)))
        with standing_still(engine):
            begin(engine, [first], [second])
        with pytest.raises(ModelFailed):
            second.future.result(30)
        assert seen == [True]


def test_jobs_that_ask_differently_are_not_batched_together() -> None:
    jobs = [item(n, prompt="ab"[n % 2]) for n in range(1, 7)]
    with running() as engine:
        with standing_still(engine):
            begin(engine, [item(0)], jobs)
        assert texts_of(jobs) == [f"rgb {n} 0 0 {'ab'[n % 2]}" for n in range(1, 7)]
        assert engine.status.batches == {1: 1, 3: 2}


def test_a_job_larger_than_a_batch_is_split_for_the_model_and_answered_whole() -> None:
    with running(engine={"max_batch": 2}, out_of_memory_above=2) as engine:
        job = item(1, 2, 3, tasks=(NSFW,))
        verdicts = engine.submit(job).result(30).result[NSFW]
        assert [round(255 * verdict.score) for verdict in verdicts] == [1, 2, 3]
        assert engine.status.recycles == {}


def test_a_job_that_cannot_be_decoded_fails_alone(engine: LocalEngine) -> None:
    bad = item(1)
    bad.images = [b"junk"]
    first, second = engine.submit(bad), engine.submit(item(2))
    with pytest.raises(UndecodableImage, match="not an image"):
        first.result(30)
    assert text_of(second)


def test_a_model_that_raises_goes_on_in_the_same_process(engine: LocalEngine) -> None:
    with pytest.raises(ModelFailed):
        engine.submit(item(RAISES)).result(30)
    pid = engine.status.model_pid
    assert caption(engine, 1) == "rgb 1 0 0"
    assert engine.status.model_pid == pid


def test_late_jobs_never_reach_the_model(engine: LocalEngine) -> None:
    with pytest.raises(Dropped):
        engine.submit(item(CRASHES, deadline_s=-1)).result(30)
    assert caption(engine, 1)
    assert engine.status.recycles == {}


def test_a_job_that_is_cancelled_while_it_waits_is_dropped_before_its_batch() -> None:
    cancelled: set[str] = set()
    first, second = item(1), item(2)
    with running(lambda _: cancelled, engine={"max_batch": 1}) as engine:
        with standing_still(engine):
            begin(engine, [first], [second])
            cancelled.add(second.task_id)
            assert type(second.future.exception(30)) is Dropped
            assert not first.future.done()
        assert text_of(first.future)


def test_a_running_batch_that_nobody_waits_for_is_cut() -> None:
    cancelled: set[str] = set()
    with running(lambda _: cancelled, hang_on_red=9) as engine:
        for deadline_s in (30, 3):
            wait_for("the model", lambda: engine.status.state == WorkerState.READY)
            job = item(9, deadline_s=deadline_s)
            dropped = engine.submit(job)
            wait_for("the batch", lambda: engine.status.state == WorkerState.BUSY)
            if deadline_s == 30:
                cancelled.add(job.task_id)
            assert type(dropped.exception(20)) is Dropped
        assert caption(engine, 1)
        assert engine.status.recycles == {"cancelled": 2}


def test_a_running_batch_goes_on_while_somebody_waits_for_one_of_its_jobs() -> None:
    cancelled: set[str] = set()
    with running(lambda _: cancelled, predict_s=2) as engine:
        first, unwanted, other = item(0), item(1), item(2)
        with standing_still(engine):
            begin(engine, [first], [unwanted, other])
        assert text_of(first.future)
        wait_for(
            "the next batch",
            lambda: engine.status.batches == {1: 1} and engine.status.state == WorkerState.BUSY,
        )
        cancelled.add(unwanted.task_id)
        assert text_of(other.future) == "rgb 2 0 0"
        assert engine.status.batches == {1: 1, 2: 1}
        assert engine.status.recycles == {}


def test_answers_and_batches_do_not_wait_for_a_silent_redis() -> None:
    silent, over = threading.Event(), threading.Event()
    asked: list[str] = []

    def find_cancelled(task_ids: Sequence[str]) -> set[str]:
        if silent.is_set():
            asked.extend(task_ids)
            over.wait(60)
        return set()

    with running(find_cancelled, predict_s=0.3, engine={"max_batch": 1}) as engine:
        wait_for("the model", lambda: engine.status.state == WorkerState.READY)
        futures = [engine.submit(item(n)) for n in range(3)]
        silent.set()
        try:
            texts = [str(future.result(20).result[CAPTION].text) for future in futures]
            assert texts == expected(range(3))
            assert asked
        finally:
            over.set()


# The end


def test_a_drain_finishes_the_running_batch_and_requeues_the_rest() -> None:
    first, waiting = item(0), [item(red) for red in range(1, 5)]
    with running(engine={"max_batch": 2}) as engine:
        with standing_still(engine):
            begin(engine, [first], waiting)
            engine.drain()
            waiting.append(item(9))
            engine.submit(waiting[-1])
            assert {type(job.future.exception(30)) for job in waiting} == {Requeued}
            assert not first.future.done()
        assert text_of(first.future) == "rgb 0 0 0"


def test_close_ends_the_model_process_and_later_jobs_are_requeued() -> None:
    with running() as engine:
        assert caption(engine, 0)
        process = psutil.Process(engine.status.model_pid)
    assert not process.is_running()
    assert type(engine.submit(item(1)).exception(5)) is Requeued
