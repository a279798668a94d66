"""Sends vision requests, and finds what the workers logged about them."""

import contextlib
import json
import threading
from collections.abc import Iterator
from typing import Any

import requests

from tests.conftest import data_url, plain
from tests.stack import Stack


def post(path: str, /, red: int = 1, timeout: float = 60, **body: Any) -> requests.Response:
    return requests.post(path, json={"images": [data_url(plain(red))], **body}, timeout=timeout)


def job_statuses(stack: Stack, model: str, request_id: str) -> list[str]:
    """What the model's workers logged as status: ``done``, ``dropped``, or the name of an error."""
    return [
        json.loads(line)["status"]
        for line in stack.processes.logs(f"worker-{model}").splitlines()
        if line.startswith("{") and request_id in line and '"event": "job"' in line
    ]


@contextlib.contextmanager
def posting(path: str, **body: Any) -> Iterator["list[requests.Response]"]:
    """Send a request in a thread; the list holds the reply when the block ends."""
    replies: list[requests.Response] = []
    thread = threading.Thread(target=lambda: replies.append(post(path, **body)))
    thread.start()
    yield replies
    thread.join()
