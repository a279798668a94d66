"""Workers accept only JSON: whoever can write to Redis cannot have them run code."""

import uuid
from pathlib import Path
from typing import Any

import pytest
import requests
from kombu import Connection

from tests.conftest import data_url, plain
from tests.stack import API, Stack, wait_for


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return Path.touch, (self._file,)


@pytest.mark.parametrize(
    "task", [{}, {"task": "vision.caption", "id": str(uuid.uuid4())}], ids=["bare", "task"]
)
@pytest.mark.parametrize("serializer", ["pickle", "yaml"])
def test_a_message_that_is_not_json_is_refused_and_the_worker_goes_on(
    stack: Stack, api: str, tmp_path: Path, serializer: str, task: dict[str, str]
) -> None:
    stack.worker("fake")
    before = stack.status("fake")
    refused = stack.processes.logs("worker-fake").count("ContentDisallowed")
    sprung = tmp_path / "sprung"
    body: Any = Trap(sprung) if serializer == "pickle" else [[], {}, {}]
    with Connection(stack.redis_url) as connection:
        connection.Producer().publish(
            body, routing_key="vision.fake", serializer=serializer, headers=task
        )

    def refusal_logged() -> bool:
        return stack.processes.logs("worker-fake").count("ContentDisallowed") > refused

    wait_for("the worker's refusal", refusal_logged)
    assert not sprung.exists()
    reply = requests.post(
        f"{api}{API}/caption/fake", json={"images": [data_url(plain(1))]}, timeout=30
    )
    assert reply.status_code == 200
    after = stack.status("fake")
    assert (after.worker, after.started_at) == (before.worker, before.started_at)
    stack.wait_held("fake", 0)
