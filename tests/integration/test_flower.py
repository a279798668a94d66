"""Operators see each request in Flower as one task, with queue, state and runtime."""

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from scripts.run_stack import LOOPBACK, free_port
from tests.conftest import data_url
from tests.stack import API, Stack, end, wait_for


@pytest.fixture(scope="module")
def flower(stack: Stack) -> Iterator[str]:
    port = free_port()
    argv = [sys.executable, "-m", "celery", "flower", f"--address={LOOPBACK}", f"--port={port}"]
    process = stack.processes.start(
        "flower",
        argv,
        CELERY_BROKER_URL=stack.redis_url,
        FLOWER_UNAUTHENTICATED_API="true",
    )
    base = f"http://{LOOPBACK}:{port}"

    def workers_seen() -> bool | None:
        try:
            return "fake-" in requests.get(f"{base}/workers?json=1", timeout=5).text or None
        except requests.RequestException:
            return None

    stack.worker("fake")
    wait_for("Flower to see the worker", workers_seen)
    yield base
    end(process)


def test_a_request_is_one_task_with_queue_state_runtime_and_small_arguments(
    stack: Stack, api: str, flower: str, cat: bytes
) -> None:
    body = {"images": [data_url(cat), data_url(cat)], "id": "seen-in-flower"}
    assert requests.post(f"{api}{API}/labels/fake", json=body, timeout=30).status_code == 200

    def tasks() -> list[dict[str, Any]] | None:
        shown: dict[str, dict[str, Any]] = requests.get(f"{flower}/api/tasks", timeout=5).json()
        ours = [task for task in shown.values() if "seen-in-flower" in task["kwargs"]]
        return ours if ours and ours[0]["state"] == "SUCCESS" else None

    (task,) = wait_for("the task", tasks, 15)
    assert task["name"] == "vision.labels"
    assert task["routing_key"] == "vision.fake"
    assert task["runtime"] > 0
    assert len(task["kwargs"]) + len(task["args"] or "") < 600
    assert data_url(cat)[40:80] not in json.dumps(task)
