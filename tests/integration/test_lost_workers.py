"""Requests survive workers that restart, die, stall or fail, and a restart of Redis."""

import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest
import requests

from tests.integration.client import job_statuses, post, posting
from tests.stack import API, UP_S, Process, Stack, end, wait_for

LONG_LEASE_S = 90


@pytest.fixture(scope="module")
def base(stack: Stack, api: str) -> str:
    stack.worker("fake")
    return api + API


@pytest.mark.slow
def test_a_worker_that_is_just_restarting_is_waited_for(stack: Stack, base: str) -> None:
    first = stack.another_worker("restarting")
    stack.wait_ready("restarting")
    end(first)
    listed = [worker.worker for worker in stack.presence("restarting").workers]
    assert not any(f"-{first.pid}@" in worker for worker in listed)
    wait_for("killed ones to be off the list", lambda: not stack.presence("restarting").workers)
    with posting(f"{base}/caption/restarting", red=77) as replies:
        wait_for("a queued request", lambda: stack.presence("restarting").queued)
        second = stack.another_worker("restarting")
    assert replies[0].json()["result"]["caption"]["text"] == "rgb 77 0 0"
    end(second)


@pytest.mark.slow
@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stalled"])
def test_requests_of_a_lost_worker_are_answered_by_another(
    stack: Stack, base: str, sig: signal.Signals
) -> None:
    first = stack.another_worker("leisurely")
    stack.wait_ready("leisurely")
    with ThreadPoolExecutor(4) as pool:
        replies = [pool.submit(post, f"{base}/caption/leisurely", n) for n in range(40, 44)]
        wait_for("a lease", lambda: leases_of(stack, "leisurely"))
        first.send_signal(sig)
        second = stack.another_worker("leisurely")
        texts = [reply.result().json()["result"]["caption"]["text"] for reply in replies]
    assert texts == [f"rgb {n} 0 0" for n in range(40, 44)]
    if sig == signal.SIGSTOP:
        first.send_signal(signal.SIGCONT)
    end(first)
    end(second)


@pytest.mark.slow
def test_requests_of_a_killed_worker_do_not_wait_for_its_lease_once_it_is_started_again(
    stack: Stack, base: str
) -> None:
    first = worker_with_long_leases(stack)
    stack.wait_ready("leisurely")
    with posting(f"{base}/caption/leisurely", red=45, id="killed-at-once") as replies:
        wait_for("a lease", lambda: leases_of(stack, "leisurely"))
        end(first, signal.SIGKILL)
        second = worker_with_long_leases(stack)
        wait_for("it to be sent again", lambda: was_lost(stack, "killed-at-once"), LONG_LEASE_S / 2)
    assert replies[0].json()["result"]["caption"]["text"] == "rgb 45 0 0"
    end(second)


def worker_with_long_leases(stack: Stack) -> Process:
    """A worker whose leases live so long that they cannot be what a test waits for."""
    code = f"""if True:
        import runpy, sys
        from shared.redis import leases, presence
        leases.LEASE_TTL_S = presence.LEASE_TTL_S = {LONG_LEASE_S}
        sys.argv = ["workers", "leisurely"]
        runpy.run_module("workers", run_name="__main__")"""
    return stack.processes.start("worker-leisurely", [sys.executable, "-c", code])


def was_lost(stack: Stack, request_id: str) -> bool:
    lines = stack.processes.logs("api").splitlines()
    return any("task lost" in line and request_id in line for line in lines)


def leases_of(stack: Stack, model: str) -> int:
    keys: Any = stack.redis.keys("vision:lease:*")
    leases: Any = stack.redis.mget(keys) if keys else []
    return sum(bool(lease and lease.startswith(model.encode())) for lease in leases)


@pytest.mark.slow
def test_a_worker_that_stands_still_for_a_moment_keeps_its_requests(
    stack: Stack, base: str
) -> None:
    worker = stack.another_worker("leisurely")
    stack.wait_ready("leisurely")
    before = stack.processes.logs("api").count("task lost")
    with ThreadPoolExecutor(4) as pool:
        path = f"{base}/caption/leisurely"
        replies = [pool.submit(post, path, n, id=f"still-{n}") for n in range(50, 54)]
        wait_for("the leases", lambda: leases_of(stack, "leisurely") == 4)
        worker.send_signal(signal.SIGSTOP)
        time.sleep(8)  # longer than a heartbeat lives, and shorter than the watchdog allows
        worker.send_signal(signal.SIGCONT)
        texts = [reply.result().json()["result"]["caption"]["text"] for reply in replies]
    assert texts == [f"rgb {n} 0 0" for n in range(50, 54)]
    assert [job_statuses(stack, "leisurely", f'still-{n}"') for n in range(50, 54)] == [
        ["done"]
    ] * 4
    assert stack.processes.logs("api").count("task lost") == before
    end(worker)


def test_a_killed_worker_leaves_no_model_process(stack: Stack) -> None:
    worker = stack.another_worker("restarting")
    stack.wait_ready("restarting")
    children = psutil.Process(worker.pid).children(recursive=True)
    assert children
    end(worker, signal.SIGKILL)
    _, alive = psutil.wait_procs(children, timeout=UP_S)
    assert alive == []


@pytest.mark.slow
def test_a_restart_of_redis_fails_no_request(stack: Stack, base: str) -> None:
    stack.worker("slow")
    assert post(f"{base}/caption/slow").status_code == 200
    with ThreadPoolExecutor(3) as pool:
        replies = [pool.submit(post, f"{base}/caption/slow", n) for n in (60, 61, 62)]
        stack.wait_held("slow", 2)
        stack.restart_redis()
        answers = [reply.result() for reply in replies]
    assert [a.status_code for a in answers] == [200] * 3, [a.text for a in answers]
    assert [a.json()["result"]["caption"]["text"] for a in answers] == [
        f"rgb {n} 0 0" for n in (60, 61, 62)
    ]


@pytest.mark.slow
def test_without_redis_requests_are_503_and_readyz_says_so(stack: Stack, base: str) -> None:
    lonely = stack.api(VISION_REDIS_URL="redis://127.0.0.1:1/0", VISION_TIMEOUT="3")
    started = time.monotonic()
    assert post(f"{lonely}{API}/caption/fake").status_code == 503
    assert requests.get(f"{lonely}/readyz", timeout=5).status_code == 503
    assert requests.get(f"{lonely}/livez", timeout=5).status_code == 200
    assert requests.get(f"{lonely}{API}/models", timeout=5).status_code == 503
    assert time.monotonic() - started < 10


@pytest.mark.slow
def test_requests_that_wait_on_the_queue_do_not_count_as_lost(stack: Stack, base: str) -> None:
    stack.worker("slow")
    with ThreadPoolExecutor(12) as pool:
        replies = list(
            pool.map(lambda n: post(f"{base}/caption/slow", n, id=f"turn-{n}"), range(12))
        )
    assert [reply.status_code for reply in replies] == [200] * 12
    assert [job_statuses(stack, "slow", f'turn-{n}"') for n in range(12)] == [["done"]] * 12


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault", ["load_error: no luck", "crash_on_red: 7, all_red_while: {folder}/broken"]
)
def test_a_broken_replica_costs_no_request_while_a_good_one_is_there(
    stack: Stack, base: str, fault: str
) -> None:
    good = stack.another_worker("restarting")
    stack.wait_ready("restarting")
    folder = stack.processes.folder
    catalog = folder / "broken.yaml"
    parameters = f"parameters: {{{fault.format(folder=folder)}}}"
    row = f"{{name: restarting, family: fake, {parameters}, engine: {{max_failures: 1}}}}"
    catalog.write_text(f"models: [{row}]")
    (folder / "broken").write_text("7")
    bad = stack.another_worker("restarting", VISION_CATALOG=str(catalog))
    stack.wait_ready("restarting", 2)
    with ThreadPoolExecutor(24) as pool:
        path = f"{base}/caption/restarting"
        replies = list(pool.map(lambda n: post(path, n, id=f"{n}"), range(48)))
    assert [reply.status_code for reply in replies] == [200] * 48
    wait_for("its error", lambda: any(one.last_error for one in stack.workers("restarting")))
    end(bad)
    end(good)
