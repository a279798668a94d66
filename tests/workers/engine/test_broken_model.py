"""What the engine does when no process works: it says why, pauses and tries again. Slow: loads."""

import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from shared.errors import ModelFailed, ModelUnavailable
from shared.vocabulary import WorkerState
from tests.engines import begin, caption, captions, expected, item, running, standing_still
from tests.stack import wait_for
from workers.engine import faults
from workers.engine.job import Requeued
from workers.engine.local import LocalEngine

pytestmark = pytest.mark.slow


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A file that makes a model take every image for one of the red that is written in it."""
    return tmp_path / "broken"


LAST = " 4 times in a row, the last time on a test picture"


@pytest.mark.parametrize(
    ("knob", "reason"),
    [
        ("crash_on_red", f"The model process died{LAST}: exit code -11"),
        ("hang_on_red", f"The model process died{LAST}: no answer in time"),
        ("device_fault_on_red", f"The model process died{LAST}: the GPU reports an error"),
        ("out_of_memory_on_red", f"Memory ran out{LAST}"),
    ],
    ids=["crash", "hang", "device", "memory"],
)
def test_a_model_that_fails_on_everything_refuses_with_the_reason_and_comes_back(
    knob: str, reason: str, broken: Path
) -> None:
    options: Any = {"max_failures": 3, "batch_timeout_s": 1}
    knobs: Any = {knob: 9, "all_red_while": str(broken)}
    with running(engine=options, **knobs) as engine:
        wait_for("the model", lambda: engine.status.state == WorkerState.READY)
        broken.write_text("9")
        refused = [engine.submit(item(red)).exception(30) for red in (20, 21, 22)]
        broken.unlink()
        assert [type(refused[0]), type(refused[-1])] == [ModelFailed, ModelUnavailable]
        assert reason in str(refused[-1])
        assert sum(engine.status.recycles.values()) == 4
        wait_for("the next try", lambda: engine.status.state.is_up)
        assert captions(engine, (20, 21, 22)) == expected((20, 21, 22))  # none is in quarantine


def test_a_model_that_is_still_broken_after_the_pause_costs_one_process_and_no_request(
    broken: Path,
) -> None:
    with running(crash_on_red=9, all_red_while=str(broken), engine={"max_failures": 1}) as engine:
        wait_for("the model", lambda: engine.status.state == WorkerState.READY)
        broken.write_text("9")
        with pytest.raises(ModelUnavailable):
            engine.submit(item(1)).result(30)
        assert engine.status.recycles == {"crash": 2}
        wait_for("the next probe", lambda: engine.status.recycles == {"crash": 3})
        wait_for("the failure", lambda: engine.status.state == WorkerState.FAILED)


def test_deadly_images_without_end_are_a_failure_at_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "LONGEST_ROW", 5)
    with running(crash_on_red=9, engine={"max_failures": 2}) as engine:
        refused = [engine.submit(item(9, green=n)).exception(30) for n in range(3)]
        assert [type(err) for err in refused] == [ModelFailed, ModelFailed, ModelUnavailable]
        assert "died 5 times in a row: exit code -11" in str(refused[-1])
        wait_for("the next try", lambda: engine.status.state.is_up)
        assert caption(engine, 1)


def test_a_model_that_failed_stays_failed_whatever_an_operator_wanted_before(broken: Path) -> None:
    job = item(9)
    with running(crash_on_red=9, all_red_while=str(broken), engine={"max_failures": 1}) as engine:
        with standing_still(engine):
            broken.write_text("9")
            begin(engine, [job])
            engine.recycle()
        with pytest.raises(ModelUnavailable):
            job.future.result(30)
        broken.unlink()
        wait_for("the next try", lambda: engine.status.state.is_up)
        assert engine.status.recycles == {"crash": 2}


@pytest.mark.parametrize("drained", ["before it is begun", "while it runs"])
def test_a_worker_that_stops_does_not_wait_for_a_test_picture(drained: str, broken: Path) -> None:
    """Nobody else does, and a broken model may take as long for it as a batch may take."""
    knobs: Any = {"crash_on_red": 8, "hang_on_red": 9, "all_red_while": str(broken), "load_s": 1}
    with running(engine={"max_failures": 1, "batch_timeout_s": 60}, **knobs) as engine:
        wait_for("the model", lambda: engine.status.state == WorkerState.READY)
        broken.write_text("8")
        waiting = engine.submit(item(1))
        wait_for("the crash", lambda: engine.status.recycles)
        broken.write_text("9")
        if drained == "before it is begun":
            engine.drain()
            wait_for("the next process", lambda: engine.status.loads == 2)
            time.sleep(1)  # in which it would be begun
        else:
            wait_for("the test picture", lambda: engine.status.state == WorkerState.BUSY)
        began_at = time.monotonic()
    assert time.monotonic() - began_at < 30
    assert type(waiting.exception(0)) is Requeued


def test_an_operators_recycle_ends_the_pause_of_a_failed_model(
    monkeypatch: pytest.MonkeyPatch, broken: Path
) -> None:
    monkeypatch.setattr(faults, "FIRST_PAUSE_S", 3600.0)
    with running(crash_on_red=9, all_red_while=str(broken), engine={"max_failures": 1}) as engine:
        wait_for("the model", lambda: engine.status.state == WorkerState.READY)
        broken.write_text("9")
        with pytest.raises(ModelUnavailable):
            engine.submit(item(9)).result(30)
        broken.unlink()
        engine.recycle()
        wait_for("the next try", lambda: engine.status.state.is_up)
        assert caption(engine, 1)


def test_a_process_that_dies_once_while_loading_costs_no_job(tmp_path: Path) -> None:
    with running(crash_first_load=str(tmp_path / "crashed")) as engine:
        assert caption(engine, 1) == "rgb 1 0 0"
        assert engine.status.recycles == {"crash": 1}


def test_a_process_that_dies_again_while_loading_is_a_failure_with_a_reason() -> None:
    with running(load_s=60) as engine:
        pids: set[int] = set()
        for _ in range(2):
            pid = wait_for("a process", lambda: loading_pid(engine, pids))
            psutil.Process(pid).kill()
            pids.add(pid)
        wait_for("the failure", lambda: engine.status.state == WorkerState.FAILED)
        assert "the process ended: exit code -9" in engine.status.reason


def loading_pid(engine: LocalEngine, but: set[int]) -> int | None:
    pids = {process.pid for process in engine._loop._supervisor}
    return next(iter(pids - but - {0}), None)


def test_a_load_without_enough_memory_says_so() -> None:
    with running(load_out_of_memory=True) as engine:
        wait_for("the failure", lambda: engine.status.state == WorkerState.FAILED)
        assert "not enough memory" in engine.status.reason


def test_a_failed_load_is_told_and_jobs_are_refused_with_the_reason() -> None:
    with running(load_error="the file is corrupt") as engine:
        wait_for("the failure", lambda: engine.status.state == WorkerState.FAILED)
        assert "the file is corrupt" in engine.status.reason
        with pytest.raises(ModelUnavailable, match="the file is corrupt"):
            engine.submit(item(1)).result(30)
