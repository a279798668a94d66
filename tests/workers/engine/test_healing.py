"""How the engine heals its model process: crashes, hangs, memory. Each costs loads: slow."""

from typing import Any

import psutil
import pytest

from shared.errors import ModelFailed
from shared.vocabulary import WorkerState
from tests.engines import (
    begin,
    caption,
    expected,
    item,
    running,
    standing_still,
    text_of,
    texts_of,
)
from tests.stack import wait_for
from workers.engine.job import Requeued

pytestmark = pytest.mark.slow

# Crashes and hangs


@pytest.mark.parametrize("knob", ["crash_on_red", "hang_on_red"])
def test_a_deadly_image_is_refused_and_innocents_are_served(knob: str) -> None:
    knobs: Any = {knob: 200}
    with running(predict_s=0.1, engine={"batch_timeout_s": 1.0}, **knobs) as engine:
        assert caption(engine, 0)
        innocents = [engine.submit(item(n)) for n in range(5)]
        deadly = engine.submit(item(200))
        innocents += [engine.submit(item(n)) for n in range(5, 10)]
        with pytest.raises(ModelFailed, match="refused for a while"):
            deadly.result(30)
        texts = [text_of(future) for future in innocents]
        assert texts == expected(range(10))
        replaced = sum(engine.status.recycles.values())

        with pytest.raises(ModelFailed, match="refused for a while"):
            engine.submit(item(200)).result(30)
        assert sum(engine.status.recycles.values()) == replaced <= 3  # a hang has one more try


def test_a_process_killed_from_outside_is_replaced_and_its_jobs_are_served() -> None:
    with running(predict_s=0.5) as engine:
        assert caption(engine, 1)
        futures = [engine.submit(item(n)) for n in range(4)]
        psutil.Process(engine.status.model_pid).kill()
        texts = [text_of(future) for future in futures]
        assert texts == expected(range(4))
        assert engine.status.recycles == {"crash": 1}


def test_a_process_that_dies_while_idle_is_replaced_without_a_request() -> None:
    with running() as engine:
        assert caption(engine, 1)
        pid = engine.status.model_pid
        psutil.Process(pid).kill()
        wait_for("another process", lambda: engine.status.model_pid not in (0, pid))


def test_copies_of_a_deadly_image_are_refused_with_it_and_cost_no_more_processes() -> None:
    innocent, deadly = item(1), [item(200) for _ in range(6)]
    with running(crash_on_red=200) as engine:
        with standing_still(engine):
            begin(engine, deadly[:1], [*deadly[1:], innocent])
        for job in deadly:
            with pytest.raises(ModelFailed, match="refused for a while"):
                job.future.result(30)
        assert text_of(innocent.future)
        assert engine.status.recycles == {"crash": 2}


def test_a_fault_of_the_gpu_replaces_the_process() -> None:
    with running(device_fault_on_red=9) as engine:
        with pytest.raises(ModelFailed):
            engine.submit(item(9)).result(30)
        assert caption(engine, 1)
        assert engine.status.recycles == {"device": 2}


# Memory


def test_out_of_memory_halves_the_batch_and_serves_all() -> None:
    jobs = [item(red) for red in range(9)]
    with running(out_of_memory_above=4, engine={"max_batch": 8}) as engine:
        with standing_still(engine):
            begin(engine, jobs[:1], jobs[1:])
        assert texts_of(jobs) == expected(range(9))
        assert engine.status.max_batch in (3, 4)
        assert max(engine.status.batches) <= 4
        assert engine.status.state == WorkerState.DEGRADED
        assert engine.status.reason == "memory ran out with 8 images in a batch"
        assert engine.status.recycles == {}


def test_an_image_that_never_fits_is_refused_after_a_fresh_process_was_tried() -> None:
    with running(out_of_memory_on_red=9) as engine:
        with pytest.raises(ModelFailed, match="does not have enough memory"):
            engine.submit(item(9)).result(30)
        assert engine.status.recycles == {"out_of_memory": 1}
        assert engine.status.max_batch == 8  # smaller batches would not have helped
        assert caption(engine, 1)


def test_a_worker_is_not_busy_any_more_after_a_batch_that_did_not_fit() -> None:
    with running(out_of_memory_on_red=9, predict_s=0.5) as engine:
        refused = engine.submit(item(9))
        wait_for("the second try", lambda: engine.status.loads == 2)
        wait_for("the batch", lambda: engine.status.state == WorkerState.BUSY)
        assert type(refused.exception(30)) is ModelFailed
        wait_for("its end", lambda: engine.status.state == WorkerState.READY, 5)


def test_a_job_that_runs_out_of_memory_while_the_worker_stops_is_requeued() -> None:
    job = item(9)
    with running(out_of_memory_on_red=9) as engine:
        with standing_still(engine):
            begin(engine, [job])
            engine.drain()
        assert type(job.future.exception(30)) is Requeued
