"""Flower: access, what it shows, and what it keeps."""

from typing import Any

import pytest
import requests

from tests.containers.project import FLOWER_AUTH, Project
from tests.stack import wait_for

pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]


@pytest.fixture
def flower(project: Project) -> str:
    return project.base("flower", 5555)


def get(flower: str, path: str) -> Any:
    reply = requests.get(f"{flower}/api/{path}", auth=FLOWER_AUTH, timeout=10)
    assert reply.status_code == 200, reply.text
    return reply.json()


def wait_done(flower: str, queue: str) -> str:
    """Wait until Flower shows a finished task of the queue; returns its id."""

    def done() -> str | None:
        for uuid, task in get(flower, "tasks").items():
            if task["routing_key"] == queue and task["state"] == "SUCCESS":
                assert task["name"] == "vision.caption"
                return str(uuid)
        return None

    return wait_for("the task in Flower", done)


def test_without_its_password_nothing_is_shown(flower: str) -> None:
    assert requests.get(f"{flower}/tasks", timeout=10).status_code == 401
    assert requests.get(f"{flower}/api/workers", timeout=10).status_code == 401


def test_it_does_not_start_without_a_password(project: Project) -> None:
    run = ("run", "--rm", "-T", "--no-deps", "-e", "FLOWER_BASIC_AUTH=", "flower")
    said = project.compose(*run, check=False, merge=True)
    assert "FLOWER_BASIC_AUTH: set it to user:password" in said


def test_it_is_read_only(project: Project, flower: str) -> None:
    (worker,) = project.wait_workers("blip", 1)
    order = f"{flower}/api/worker/shutdown/{worker['worker']}"
    assert requests.post(order, auth=FLOWER_AUTH, timeout=10).status_code == 403


def test_it_lists_the_queue_of_each_worker(flower: str) -> None:
    """On its page "Broker", although workers have no queues while their model loads."""

    def queues() -> set[str] | None:
        names = {queue["name"] for queue in get(flower, "queues/length")["active_queues"]}
        return names if len(names) > 2 else None

    expected = {"vision.blip", "vision.efficientnet-lite0", "vision.opennsfw"}
    assert wait_for("the queues in Flower", queues, 40) == expected


def test_it_keeps_tasks_across_a_restart(
    project: Project, base: str, flower: str, red_circle: bytes
) -> None:
    assert project.ask(base, "caption/blip", red_circle).ok
    task = wait_done(flower, "vision.blip")
    project.compose("restart", "flower")
    project.up("--no-recreate", "flower")
    assert task in get(project.base("flower", 5555), "tasks")
