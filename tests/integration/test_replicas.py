"""Two replicas of a worker: they share the load, and one that is killed costs no request."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.conftest import data_url, plain
from tests.stack import API, Stack, end, wait_for

pytestmark = pytest.mark.slow
REDS = range(100, 124)


def ask(base: str, red: int) -> str:
    body = {"images": [data_url(plain(red))], "id": f"replica-{red}"}
    reply = requests.post(f"{base}/caption/heavy", json=body, timeout=60)
    assert reply.status_code == 200, reply.text
    return str(reply.json()["result"]["caption"]["text"])


def images_by_worker(stack: Stack) -> list[int]:
    return [worker.images for worker in stack.presence("heavy").workers]


def test_replicas_share_the_load(stack: Stack, api: str) -> None:
    replicas = [stack.another_worker("heavy") for _ in range(2)]
    stack.wait_ready("heavy", 2)
    with ThreadPoolExecutor(len(REDS)) as pool:
        texts = list(pool.map(lambda red: ask(api + API, red), REDS))
    assert texts == [f"rgb {red} 0 0" for red in REDS]
    wait_for("the numbers", lambda: sum(images_by_worker(stack)) == len(REDS) or None, 5)
    assert min(images_by_worker(stack)) >= len(REDS) // 4
    for replica in replicas:
        end(replica)


@pytest.mark.parametrize("state", ["loading", "batching", "recycling"])
def test_a_replica_killed_in_any_state_costs_no_request(stack: Stack, api: str, state: str) -> None:
    base = api + API
    survivor = stack.another_worker("heavy")
    stack.wait_ready("heavy", 1)
    victim = stack.another_worker("heavy")
    count = 2 if state != "loading" else 1
    stack.wait_ready("heavy", count)
    wait_for("two workers", lambda: len(stack.presence("heavy").workers) == 2 or None, 10)
    if state == "recycling":
        requests.post(f"{base}/models/heavy/recycle", timeout=10)
    with ThreadPoolExecutor(len(REDS)) as pool:
        replies = [pool.submit(ask, base, red) for red in REDS]
        wait_for("leases", lambda: len(stack.redis.keys("vision:lease:*")) > 8 or None, 10)
        victim.kill()
        texts = [reply.result() for reply in replies]
    assert texts == [f"rgb {red} 0 0" for red in REDS]
    end(survivor)


def test_a_replica_that_is_stopped_loses_nothing_and_nothing_is_run_twice(
    stack: Stack, api: str
) -> None:
    survivor, leaver = (stack.another_worker("heavy") for _ in range(2))
    stack.wait_ready("heavy", 2)
    with ThreadPoolExecutor(len(REDS)) as pool:
        replies = [pool.submit(ask, api + API, red + 30) for red in REDS]
        wait_for("leases", lambda: len(stack.redis.keys("vision:lease:*")) > 8 or None, 10)
        assert end(leaver) == 0
        texts = [reply.result() for reply in replies]
    assert texts == [f"rgb {red + 30} 0 0" for red in REDS]
    end(survivor)
    lines = stack.processes.logs("worker-heavy").splitlines()
    jobs = [json.loads(line) for line in lines if '"event": "job"' in line]
    done = Counter(job["request_id"] for job in jobs if job["status"] == "done")
    assert [done[f"replica-{red + 30}"] for red in REDS] == [1] * len(REDS)
    assert "handed back" in {job["status"] for job in jobs}
