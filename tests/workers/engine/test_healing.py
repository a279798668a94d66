"""How the engine heals its model process: crashes, hangs, memory, wear. Each costs loads: slow."""

from pathlib import Path
from typing import Any

import psutil
import pytest

from shared.errors import ModelFailed, ModelUnavailable
from shared.vocabulary import WorkerState
from tests.engines import caption, captions, expected, item, running, text_of
from tests.stack import wait_for
from workers.engine import faults
from workers.engine.job import Requeued
from workers.engine.local import LocalEngine

pytestmark = pytest.mark.slow

# Crashes and hangs


@pytest.mark.parametrize("knob", ["crash_on_red", "crash_in_prepare_on_red", "hang_on_red"])
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
        assert sum(engine.status.recycles.values()) == replaced == 2


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
        wait_for("another process", lambda: engine.status.model_pid not in (0, pid), 20)


def test_copies_of_a_deadly_image_are_refused_with_it_and_cost_no_more_processes() -> None:
    with running(predict_s=0.2, crash_on_red=200) as engine:
        assert caption(engine, 0)
        deadly = [engine.submit(item(200)) for _ in range(6)]
        innocent = engine.submit(item(1))
        for future in deadly:
            with pytest.raises(ModelFailed, match="refused for a while"):
                future.result(30)
        assert text_of(innocent)
        assert engine.status.recycles == {"crash": 2}


def test_images_are_decoded_while_the_batch_before_them_runs() -> None:
    with running(predict_s=3, crash_in_prepare_on_red=200) as engine:
        wait_for("the model", lambda: engine.status.state == WorkerState.READY, 20)
        first, second = engine.submit(item(1)), engine.submit(item(200, prompt="another batch"))
        wait_for("the death", lambda: engine.status.recycles, 20)
        assert not first.done()  # so it was the second's decoding, beside the first's batch
        assert text_of(first)
        with pytest.raises(ModelFailed, match="refused for a while"):
            second.result(30)


def test_deaths_in_a_row_end_in_failure_with_the_reason_and_a_pause() -> None:
    options = {"max_failures": 3, "quarantine_s": 0}
    with running(engine=options, crash_on_red=9) as engine:
        refused = []
        for _ in range(2):
            try:
                engine.submit(item(9)).result(30)
            except (ModelFailed, ModelUnavailable) as err:
                refused.append(err)
        assert isinstance(refused[-1], ModelUnavailable)
        assert "died 3 times in a row" in str(refused[-1])
        wait_for("the next try", lambda: engine.status.state.is_up, 20)
        assert caption(engine, 1)


def test_a_model_that_failed_stays_failed_whatever_an_operator_wanted_before() -> None:
    with running(predict_s=0.5, crash_on_red=9, engine={"max_failures": 1}) as engine:
        wait_for("the model", lambda: engine.status.state == WorkerState.READY, 20)
        future = engine.submit(item(9))
        wait_for("the batch", lambda: engine.status.state == WorkerState.BUSY, 10)
        engine.recycle()
        with pytest.raises(ModelUnavailable):
            future.result(30)
        wait_for("the next try", lambda: engine.status.state.is_up, 20)
        assert engine.status.recycles == {"crash": 1}


def test_an_operators_recycle_ends_the_pause_of_a_failed_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(faults, "FIRST_PAUSE_S", 3600.0)
    with running(crash_on_red=9, engine={"max_failures": 1}) as engine:
        with pytest.raises(ModelUnavailable):
            engine.submit(item(9)).result(30)
        engine.recycle()
        wait_for("the next try", lambda: engine.status.state.is_up, 20)
        assert caption(engine, 1)


def test_a_process_that_dies_once_while_loading_costs_no_job(tmp_path: Path) -> None:
    with running(crash_first_load=str(tmp_path / "crashed")) as engine:
        assert caption(engine, 1) == "rgb 1 0 0"
        assert engine.status.recycles == {"crash": 1}


def test_a_process_that_dies_again_while_loading_is_a_failure_with_a_reason() -> None:
    with running(load_s=60) as engine:
        pids: set[int] = set()
        for _ in range(2):
            pid = wait_for("a process", lambda: loading_pid(engine, pids), 20)
            psutil.Process(pid).kill()
            pids.add(pid)
        wait_for("the failure", lambda: engine.status.state == WorkerState.FAILED, 20)
        assert "the process ended: exit code -9" in engine.status.reason


def loading_pid(engine: LocalEngine, but: set[int]) -> int | None:
    return next(
        (process.pid for process in engine._loop._supervisor if process.pid not in but), None
    )


def test_a_load_without_enough_memory_says_so() -> None:
    with running(load_out_of_memory=True) as engine:
        wait_for("the failure", lambda: engine.status.state == WorkerState.FAILED, 20)
        assert "not enough memory" in engine.status.reason


def test_a_fault_of_the_gpu_replaces_the_process() -> None:
    with running(device_fault_on_red=9) as engine:
        with pytest.raises(ModelFailed):
            engine.submit(item(9)).result(30)
        assert caption(engine, 1)
        assert engine.status.recycles == {"device": 2}


def test_a_failed_load_is_told_and_jobs_are_refused_with_the_reason() -> None:
    with running(load_error="the file is corrupt") as engine:
        wait_for("the failure", lambda: engine.status.state == WorkerState.FAILED, 20)
        assert "the file is corrupt" in engine.status.reason
        with pytest.raises(ModelUnavailable, match="the file is corrupt"):
            engine.submit(item(1)).result(30)


# Memory


def test_out_of_memory_halves_the_batch_for_good_and_serves_all() -> None:
    with running(predict_s=0.2, out_of_memory_above=4, engine={"max_batch": 8}) as engine:
        assert caption(engine, 0)
        assert captions(engine, range(9)) == expected(range(9))
        assert engine.status.max_batch in (3, 4)
        assert max(engine.status.batches) <= 4
        assert engine.status.state == WorkerState.DEGRADED
        assert engine.status.recycles == {}


def test_an_image_that_never_fits_is_refused_after_a_fresh_process_was_tried() -> None:
    with running(out_of_memory_on_red=9) as engine:
        with pytest.raises(ModelFailed, match="not enough memory"):
            engine.submit(item(9)).result(30)
        assert engine.status.recycles == {"out_of_memory": 1}
        assert engine.status.max_batch == 8  # smaller batches would not have helped
        assert caption(engine, 1)


def test_memory_that_runs_out_for_everything_is_a_failure_and_not_a_loop() -> None:
    with running(out_of_memory_on_red=9, engine={"max_failures": 3}) as engine:
        refused = [engine.submit(item(9, prompt=f"{n}")).exception(30) for n in range(3)]
        assert [type(err) for err in refused] == [ModelFailed, ModelFailed, ModelUnavailable]
        assert "Memory ran out 3 times in a row" in str(refused[-1])


def test_a_job_that_runs_out_of_memory_while_the_worker_stops_is_requeued() -> None:
    with running(predict_s=0.5, out_of_memory_on_red=9) as engine:
        wait_for("the model", lambda: engine.status.state == WorkerState.READY, 20)
        future = engine.submit(item(9))
        wait_for("the batch", lambda: engine.status.state == WorkerState.BUSY, 10)
        engine.drain()
        assert type(future.exception(30)) is Requeued


# Recycling


@pytest.mark.parametrize("standby", ["on", "off"])
@pytest.mark.parametrize(
    ("why", "options", "knobs"),
    [
        ("count", {"recycle_images": 10}, {}),
        ("memory", {"recycle_growth_mb": 50}, {"leak_mb": 10}),
        ("slow", {"slow_factor": 2, "slow_batches": 3}, {"predict_s": 0.01, "slower": 0.2}),
    ],
    ids=["count", "memory", "slow"],
)
def test_a_worn_process_is_replaced_and_no_job_fails(
    why: str, options: dict[str, Any], knobs: dict[str, Any], standby: str
) -> None:
    with running(engine={**options, "standby": standby}, **knobs) as engine:
        assert caption(engine, 0)
        first = engine.status.model_pid

        def again() -> bool:
            assert caption(engine, 3) == "rgb 3 0 0"
            return bool(engine.status.recycles)

        wait_for("a recycle", again, 30)
        assert caption(engine, 4) == "rgb 4 0 0"
        assert set(engine.status.recycles) == {why}
        assert engine.status.model_pid not in (0, first)


def test_jobs_are_served_while_a_standby_loads() -> None:
    with running(load_s=1.0, engine={"standby": "on"}) as engine:
        assert caption(engine, 0)
        first = engine.status.model_pid
        engine.recycle()
        served = 0
        while engine.status.model_pid == first:
            assert caption(engine, 1)
            served += 1
        assert served > 10
        assert engine.status.recycles == {"operator": 1}
        assert not psutil.pid_exists(first)


def test_an_idle_model_is_unloaded_and_loaded_again_with_the_next_job() -> None:
    with running(engine={"keep_alive_s": 0.3}) as engine:
        assert caption(engine, 0)
        pid = engine.status.model_pid
        wait_for("unloading", lambda: engine.status.state == WorkerState.UNLOADED, 10)
        assert not psutil.pid_exists(pid)
        assert caption(engine, 1) == "rgb 1 0 0"


def test_an_operator_can_unload_the_model() -> None:
    with running() as engine:
        assert caption(engine, 0)
        engine.unload()
        wait_for("unloading", lambda: engine.status.state == WorkerState.UNLOADED, 10)
        assert caption(engine, 1)
