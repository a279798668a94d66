"""When the engine replaces a process that works, and what that costs nobody. Slow: each loads."""

from typing import Any

import psutil
import pytest

from shared.vocabulary import WorkerState
from tests.engines import caption, item, running
from tests.stack import wait_for

pytestmark = pytest.mark.slow


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

        wait_for("a recycle", again)
        assert caption(engine, 4) == "rgb 4 0 0"
        assert set(engine.status.recycles) == {why}
        assert engine.status.model_pid not in (0, first)


def test_longer_answers_are_no_reason_to_replace_the_process() -> None:
    with running(step_s=0.005, engine={"slow_factor": 2, "slow_batches": 5}) as engine:
        assert [engine.submit(item(1)).result(30) for _ in range(6)]
        prompt = " ".join(["word"] * 20)
        assert [engine.submit(item(1, prompt=prompt)).result(30) for _ in range(12)]
        assert engine.status.recycles == {}


def test_jobs_are_served_while_a_standby_loads() -> None:
    with running(load_s=1.0, engine={"standby": "on"}) as engine:
        assert caption(engine, 0)
        first = engine.status.model_pid
        engine.recycle()
        served = 0
        while engine.status.model_pid == first:
            assert caption(engine, 1)
            served += 1
        assert served > 2  # without a standby, the one that is under way
        assert engine.status.recycles == {"operator": 1}
        assert not psutil.pid_exists(first)


def test_an_idle_model_is_unloaded_and_loaded_again_with_the_next_job() -> None:
    with running(engine={"keep_alive_s": 0.3}) as engine:
        assert caption(engine, 0)
        pid = engine.status.model_pid
        wait_for("unloading", lambda: engine.status.state == WorkerState.UNLOADED)
        assert not psutil.pid_exists(pid)
        assert caption(engine, 1) == "rgb 1 0 0"


def test_an_operator_can_unload_the_model() -> None:
    with running() as engine:
        assert caption(engine, 0)
        engine.unload()
        wait_for("unloading", lambda: engine.status.state == WorkerState.UNLOADED)
        assert caption(engine, 1)
