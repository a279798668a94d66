"""Two replicas of a worker share the load, and killing one fails no request."""

import json
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest
import requests

from shared.vocabulary import WorkerState
from tests.conftest import data_url, plain
from tests.stack import API, Stack, end, wait_for

pytestmark = pytest.mark.slow
REDS = range(100, 124)


def ask(base: str, red: int) -> str:
    body = {"images": [data_url(plain(red))], "id": f"replica-{red}"}
    reply = requests.post(f"{base}/caption/heavy", json=body, timeout=60)
    assert reply.status_code == 200, reply.text
    return str(reply.json()["result"]["caption"]["text"])


def state_of(stack: Stack, name: str) -> WorkerState | None:
    return next((w.state for w in stack.presence("heavy").workers if w.worker == name), None)


def images_by_worker(stack: Stack) -> list[int]:
    return [worker.images for worker in stack.presence("heavy").workers]


def test_replicas_share_the_load(stack: Stack, api: str) -> None:
    replicas = [stack.another_worker("heavy") for _ in range(2)]
    stack.wait_ready("heavy", 2)
    with ThreadPoolExecutor(len(REDS)) as pool:
        texts = list(pool.map(lambda red: ask(api + API, red), REDS))
    assert texts == [f"rgb {red} 0 0" for red in REDS]
    wait_for("the numbers", lambda: sum(images_by_worker(stack)) == len(REDS))
    assert min(images_by_worker(stack)) >= len(REDS) // 4
    for replica in replicas:
        end(replica)


@pytest.mark.parametrize("state", ["loading", "batching", "recycling"])
def test_killing_a_replica_in_any_state_fails_no_request(
    stack: Stack, api: str, state: str
) -> None:
    base = api + API
    survivor = stack.another_worker("heavy")
    stack.wait_ready("heavy", 1)
    victim = stack.another_worker("heavy", **(never_loaded(stack) if state == "loading" else {}))
    name = f"heavy-{victim.pid}@{socket.gethostname()}"
    wait_for("the victim", lambda: state_of(stack, name))
    if state != "loading":
        stack.wait_ready("heavy", 2)
    children = psutil.Process(victim.pid).children(recursive=True)
    if state == "recycling":
        requests.post(f"{base}/models/heavy/recycle", timeout=10)
        wait_for("its standby", lambda: has_more_children(victim.pid, children))
    with ThreadPoolExecutor(len(REDS)) as pool:
        replies = [pool.submit(ask, base, red) for red in REDS]
        if state == "loading":
            assert state_of(stack, name) == WorkerState.LOADING
        else:
            wait_for("a task of the victim's", lambda: has_lease(stack, name))
        victim.kill()
        texts = [reply.result() for reply in replies]
    assert texts == [f"rgb {red} 0 0" for red in REDS]
    end(survivor)


def never_loaded(stack: Stack) -> dict[str, str]:
    """The environment of a worker whose model loads for longer than any test takes."""
    catalog = stack.processes.folder / "never-loaded.yaml"
    catalog.write_text("models: [{name: heavy, family: fake, parameters: {load_s: 3600}}]")
    return {"VISION_CATALOG": str(catalog)}


def has_more_children(pid: int, before: list[psutil.Process]) -> bool:
    return len(psutil.Process(pid).children(recursive=True)) > len(before)


def has_lease(stack: Stack, name: str) -> bool:
    keys: Any = stack.redis.keys("vision:lease:*")
    leases: Any = stack.redis.mget(keys) if keys else []
    return any(lease and lease.startswith(name.encode()) for lease in leases)


def test_stopping_a_replica_loses_no_request_and_runs_none_twice(stack: Stack, api: str) -> None:
    survivor, leaver = (stack.another_worker("heavy") for _ in range(2))
    stack.wait_ready("heavy", 2)
    with ThreadPoolExecutor(len(REDS)) as pool:
        replies = [pool.submit(ask, api + API, red + 30) for red in REDS]
        # More than a batch each.
        wait_for("tasks", lambda: all(worker.held > 4 for worker in stack.workers("heavy")))
        assert end(leaver) == 0
        texts = [reply.result() for reply in replies]
    assert texts == [f"rgb {red + 30} 0 0" for red in REDS]
    end(survivor)
    lines = stack.processes.logs("worker-heavy").splitlines()
    jobs = [json.loads(line) for line in lines if '"event": "job"' in line]
    done = Counter(job["request_id"] for job in jobs if job["status"] == "done")
    assert [done[f"replica-{red + 30}"] for red in REDS] == [1] * len(REDS)
    assert "requeued" in {job["status"] for job in jobs}
