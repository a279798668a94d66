"""Whatever state Redis is in: workers outlive it, requests wait it out, deadlines hold."""

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import pytest
import requests

from tests.integration.client import post, posting
from tests.redis_faults import FAULTS, full, read_only, silent
from tests.stack import API, Stack, end, running_stack, wait_for

pytestmark = pytest.mark.slow

FAULT_S = 7.0
"""Longer than a heartbeat and a lease live, and than the API waits for one reply of Redis."""
DEADLINE_S = 4.0
SPARE_S = 4
"""For a busy machine."""


class Running(NamedTuple):
    stack: Stack
    base: str


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A stack of our own, as its Redis is made to fail."""
    with running_stack(tmp_path_factory.mktemp("redis-faults")) as stack:
        yield Running(stack, stack.api() + API)


def logs(running: Running) -> str:
    return running.stack.processes.logs("worker-slow")[-3000:]


def model_pid(running: Running) -> int:
    def pid() -> int | None:
        status = running.stack.status("slow")
        return status.model_pid if status.consuming else None

    return wait_for(lambda: f"the worker\n{logs(running)}", pid)


def holds_a_task(stack: Stack, model: str) -> bool:
    """Return whether a worker said so with its last heartbeat, which comes each second."""
    return any(worker.held for worker in stack.presence(model).workers)


@pytest.mark.parametrize("name", FAULTS)
def test_workers_outlive_a_redis_that_does_not_serve_and_no_request_fails(
    running: Running, name: str
) -> None:
    stack, path = running.stack, f"{running.base}/caption/slow"
    worker = stack.another_worker("slow")
    before = model_pid(running)
    with ThreadPoolExecutor(8) as pool:
        early = [pool.submit(post, path, red) for red in range(4)]
        wait_for("a held task", partial(holds_a_task, stack, "slow"))
        with FAULTS[name](stack):
            late = [pool.submit(post, path, red) for red in range(4, 8)]
            time.sleep(FAULT_S)  # what is tested is that this long a fault is waited out
        answers = [reply.result() for reply in (*early, *late)]
    assert [a.status_code for a in answers] == [200] * 8, [a.text for a in answers]
    texts = [a.json()["result"]["caption"]["text"] for a in answers]
    assert texts == [f"rgb {red} 0 0" for red in range(8)]
    assert worker.poll() is None, logs(running)
    assert model_pid(running) == before
    assert end(worker) == 0


def test_a_redis_that_is_full_while_results_are_stored_holds_no_worker(running: Running) -> None:
    stack, path = running.stack, f"{running.base}/caption/leisurely"
    worker = stack.another_worker("leisurely")
    stack.wait_ready("leisurely")
    with posting(path, red=1) as replies:
        wait_for("a held task", partial(holds_a_task, stack, "leisurely"))
        with full(stack):
            time.sleep(4)  # the result comes after 3 s
    assert replies[0].json()["result"]["caption"]["text"] == "rgb 1 0 0"
    wait_for("free slots", lambda: not holds_a_task(stack, "leisurely"))
    assert [post(path, red).status_code for red in (2, 3)] == [200, 200]
    assert worker.poll() is None
    assert end(worker) == 0


def test_what_redis_refused_to_take_leaves_no_mark_of_a_cancelled_task(running: Running) -> None:
    stack = running.stack
    worker = stack.another_worker("slow")
    model_pid(running)
    before = marks_and_images(stack)  # those of tests before, whose Redis took no deletions
    with ThreadPoolExecutor(1) as pool:
        with read_only(stack):
            reply = pool.submit(post, f"{running.base}/caption/slow")
            time.sleep(1)  # it is refused, and tries again
        assert reply.result().status_code == 200
    assert marks_and_images(stack) <= before
    assert end(worker) == 0


def marks_and_images(stack: Stack) -> set[bytes]:
    keys: Any = stack.redis.keys("vision:cancelled:*") + stack.redis.keys("vision:image:*")
    return set(keys)


def test_workers_are_expected_after_a_fault_that_was_longer_than_their_grace(
    running: Running,
) -> None:
    stack = running.stack
    grace = {"VISION_RESTART_GRACE_S": "4"}
    impatient = stack.api(**grace) + API
    worker = stack.another_worker("slow", **grace)
    model_pid(running)
    assert post(f"{impatient}/caption/slow").status_code == 200
    with ThreadPoolExecutor(1) as pool:
        with read_only(stack):
            time.sleep(FAULT_S)
            worker.send_signal(signal.SIGSTOP)
            reply = pool.submit(post, f"{impatient}/caption/slow", 2)
            time.sleep(1)  # it is refused, and tries again
        time.sleep(1)  # Redis serves, and the first heartbeat is still to come
        worker.send_signal(signal.SIGCONT)
        assert reply.result().json()["result"]["caption"]["text"] == "rgb 2 0 0"
    assert end(worker) == 0


@pytest.mark.parametrize("when", ["before", "during"])
def test_a_silent_redis_moves_no_deadline(running: Running, when: str) -> None:
    stack = running.stack
    hasty = stack.api(VISION_TIMEOUT=str(DEADLINE_S)) + API
    worker = stack.another_worker("restarting")
    stack.wait_ready("restarting")
    end(worker)  # it is waited for, as it was seen a moment ago
    started = time.monotonic()
    if when == "before":
        with silent(stack):
            reply = post(f"{hasty}/caption/restarting")
            took_s = time.monotonic() - started
    else:
        with posting(f"{hasty}/caption/restarting") as replies:
            wait_for("a queued request", lambda: stack.presence("restarting").queued)
            with silent(stack):
                wait_for("the reply", lambda: replies, 60)
                took_s = time.monotonic() - started
        reply = replies[0]
    assert (reply.status_code, reply.json()["code"]) in ((503, 503), (504, 504))
    assert DEADLINE_S - 0.5 <= took_s <= DEADLINE_S + 1 + SPARE_S


def test_a_refusal_names_the_cause_and_not_the_command(running: Running) -> None:
    hasty = running.stack.api(VISION_TIMEOUT="2") + API
    with read_only(running.stack):
        refused = post(f"{hasty}/caption/fake")
    assert refused.status_code == 503
    assert refused.json()["error"].startswith("Redis refuses: READONLY You can't write against")
    assert "vision:" not in refused.text
    assert int(refused.headers["Retry-After"]) > 0


def test_without_a_heartbeat_for_long_the_cause_is_still_redis(running: Running) -> None:
    hasty = running.stack.api(VISION_TIMEOUT="2") + API
    with full(running.stack):
        refused = post(f"{hasty}/caption/unserved")
    assert refused.json()["error"].startswith("Redis refuses: OOM ")
    assert "No worker serves" in post(f"{hasty}/caption/unserved").json()["error"]
    assert requests.get(f"{hasty.removesuffix(API)}/livez", timeout=5).status_code == 200
