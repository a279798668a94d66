"""The container's check asks for this worker: its heartbeat, its queue, its model process."""

import os
import subprocess
import sys
import time

import pytest

from shared.redis.presence import WorkerStatus
from shared.vocabulary import WorkerState
from tests.stack import ROOT, Stack, wait_for
from workers.consumer import healthcheck


def check(stack: Stack, model: str, **extra: str) -> str:
    """What the command says of a model's worker; empty: nothing is wrong."""
    done = subprocess.run(
        [sys.executable, "-m", "workers.consumer.healthcheck", model],
        cwd=ROOT, env={**stack.environment, **extra},
        capture_output=True, check=False, text=True, timeout=120,
    )  # fmt: skip
    assert bool(done.returncode) == bool(done.stderr), done.stderr
    return done.stderr.strip()


def beat(**fields: object) -> WorkerStatus:
    ready = {"worker": "m-1@h", "model": "m", "state": WorkerState.READY, "consuming": True}
    return WorkerStatus.model_validate({**ready, "started_at": time.time(), **fields})


def test_a_worker_that_takes_requests_is_well(stack: Stack) -> None:
    stack.worker("fake")
    wait_for("consuming", lambda: check(stack, "fake") == "")


def test_a_model_that_cannot_be_loaded_is_named_with_its_reason(stack: Stack) -> None:
    stack.worker("broken")
    reason = "failed The model cannot be loaded: the weights are"
    # From time to time it is loading again.
    wait_for("the reason", lambda: check(stack, "broken").startswith(reason))


def test_without_a_worker_on_this_host_there_is_no_heartbeat(stack: Stack) -> None:
    stack.store.presence.beat(beat(worker="unserved-1@elsewhere", model="unserved"), (), 1)
    assert check(stack, "unserved") == "no heartbeat of this host"


def test_a_redis_that_does_not_answer_is_named(stack: Stack) -> None:
    said = check(stack, "fake", VISION_REDIS_URL="redis://127.0.0.1:1/0")
    assert said.startswith("Redis cannot be reached")


def test_a_model_that_is_not_in_the_catalogue_is_named(stack: Stack) -> None:
    assert "nonesuch" in check(stack, "nonesuch")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"state": WorkerState.DOWNLOADING, "reason": "40 %"}, "downloading 40 %"),
        ({"state": WorkerState.LOADING}, "loading"),
        ({"consuming": False}, "ready, but takes nothing from its queue"),
        ({"model_pid": os.getpid()}, ""),
        ({"state": WorkerState.UNLOADED, "model_pid": 0}, ""),
    ],
)
def test_each_state_is_judged(fields: dict[str, object], said: str) -> None:
    assert healthcheck._trouble_of([beat(**fields)]) == said


def test_a_model_process_that_ended_unnoticed_is_a_fault() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    wait_for("its end", lambda: os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT))
    said = healthcheck._trouble_of([beat(model_pid=child.pid)])  # a zombie until it is waited for
    child.wait()
    assert said == f"the model process {child.pid} is gone"


def test_after_a_restart_the_newer_heartbeat_counts() -> None:
    old = beat(worker="m-7@h", state=WorkerState.FAILED, started_at=1.0)
    assert healthcheck._trouble_of([old, beat(worker="m-8@h")]) == ""
