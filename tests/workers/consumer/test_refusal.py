"""A worker is ready only if its user of Redis may take requests off the queue, and says why not."""

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from launcher.ports import LOOPBACK, free_port
from shared.vocabulary import WorkerState
from tests.integration.client import post
from tests.scrape import total
from tests.stack import API, ROOT, Stack, end, running_stack, wait_for
from workers.consumer.kombu_guard import RECONNECT_S

MAY_NOT = {
    "the queue": "~vision:* &* +@all",
    "the bindings": "~vision* &* +@all",
    "the channel": "~* resetchannels +@all",
    "the command": "~* &* +@all -brpop",
}
"""The rights of users who may write heartbeats, but lack something that Celery needs."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A Redis of our own, as its users are changed."""
    with running_stack(tmp_path_factory.mktemp("refusal")) as running:
        yield running


def give(stack: Stack, user: str, rights: str) -> None:
    client: Any = stack.redis  # redis-py does not type this
    client.execute_command("ACL", "SETUSER", user, *rights.split())


def url_of(stack: Stack, user: str) -> str:
    return stack.redis_url.replace("//", f"//{user}:password@")


@pytest.mark.parametrize("missing", MAY_NOT)
def test_a_worker_that_may_not_take_requests_is_failed_until_it_may(
    stack: Stack, missing: str
) -> None:
    give(stack, "worker", f"reset on >password {MAY_NOT[missing]}")
    port, url = free_port(), url_of(stack, "worker")
    worker = stack.another_worker("fake", VISION_REDIS_URL=url, VISION_METRICS_PORT=str(port))

    def exports(state: WorkerState) -> bool:
        return total(f"http://{LOOPBACK}:{port}", "vision_worker_state", state=state) == 1

    try:
        wait_for("the refusal", lambda: stack.status("fake").state == WorkerState.FAILED)
        assert "Redis refuses: NOPERM" in stack.status("fake").reason
        wait_for("its metric", lambda: exports(WorkerState.FAILED))
        reply = post(f"{stack.api()}{API}/caption/fake")
        assert reply.status_code == 503
        assert "cannot take requests off its queue. Redis refuses: NOPERM" in reply.json()["error"]

        give(stack, "worker", "~* &* +@all")
        wait_for("the worker", lambda: stack.status("fake").state == WorkerState.READY)
        wait_for("its metric", lambda: exports(WorkerState.READY))
        assert post(f"{stack.api()}{API}/caption/fake").status_code == 200
    finally:
        end(worker)


def test_what_is_refused_is_tried_once_a_second(stack: Stack) -> None:
    give(stack, "patient", "reset on >password ~vision:* &* +@all")
    worker = stack.another_worker("unserved", VISION_REDIS_URL=url_of(stack, "patient"))

    def tries() -> list[datetime] | None:
        lines = map(
            json.loads, re.findall(r"^{.*$", stack.processes.logs("worker-unserved"), re.MULTILINE)
        )
        at = [line["timestamp"] for line in lines if "to broker lost" in line["event"]]
        return [datetime.fromisoformat(text) for text in at] if len(at) >= 4 else None

    first, *_, last = found = wait_for("some tries", tries)
    end(worker)
    assert last - first > timedelta(seconds=0.9 * RECONNECT_S * (len(found) - 1))


def test_the_rights_that_the_documentation_names_are_enough(stack: Stack) -> None:
    text = Path(ROOT / "docs" / "configuration.md").read_text()
    (rights,) = re.findall(r"^user vision (.+)$", text, re.MULTILINE)
    give(stack, "vision", rights)
    stack.redis.acl_log_reset()
    url = url_of(stack, "vision")
    worker = stack.another_worker("fake", VISION_REDIS_URL=url)
    wait_for("the worker", lambda: stack.status("fake").state == WorkerState.READY)
    base = stack.api(VISION_REDIS_URL=url)
    assert post(f"{base}{API}/caption/fake").status_code == 200
    assert post(f"{base}{API}/models/fake/recycle").json()["workers"]
    end(worker)
    assert stack.redis.acl_log() == []
