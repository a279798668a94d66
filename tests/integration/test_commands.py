"""Operators' commands never stand before requests."""

import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from api.commands import AT_ONCE
from tests.integration.client import post
from tests.stack import API, Stack, end, wait_for

COMMANDS = 12
"""More than Celery's pool has connections by default."""


@pytest.mark.slow
def test_commands_to_a_silent_worker_hold_up_no_request_and_are_limited(stack: Stack) -> None:
    stack.worker("fake")
    base = stack.api() + API
    worker = stack.another_worker("restarting")
    stack.wait_ready("restarting")
    path = f"{base}/models/restarting/recycle"
    worker.send_signal(signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(COMMANDS) as pool:
            replies = [pool.submit(requests.post, path, timeout=30) for _ in range(COMMANDS)]
            answers = [post(f"{base}/caption/fake", red, timeout=5) for red in range(8)]
            commands = [reply.result() for reply in replies]
        worker.send_signal(signal.SIGCONT)
        # The limit is free again: commands go on.
        wait_for("a confirmed command", lambda: confirmed(path))
    finally:
        end(worker, signal.SIGKILL)
    assert [answer.status_code for answer in answers] == [200] * 8
    statuses = Counter(reply.status_code for reply in commands)
    assert set(statuses) == {200, 429}
    assert statuses[200] >= AT_ONCE
    refused = next(reply for reply in commands if reply.status_code == 429)
    assert int(refused.headers["Retry-After"]) > 0
    assert "commands are under way" in refused.json()["error"]


def confirmed(path: str) -> bool:
    """Give a command, and return whether a worker confirmed it."""
    return bool(requests.post(path, timeout=10).json().get("workers"))
