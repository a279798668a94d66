"""Sends vision requests, and finds what the workers logged about them."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import requests

from shared.vocabulary import WorkerState
from tests.conftest import data_url, plain
from tests.stack import API, Stack, wait_for

T = TypeVar("T")


def post(path: str, /, red: int = 1, timeout: float = 60, **body: Any) -> requests.Response:
    return requests.post(path, json={"images": [data_url(plain(red))], **body}, timeout=timeout)


def idle_worker(stack: Stack, model: str, task: str = "caption") -> None:
    """Have a worker whose model is loaded, and that says so: that no request is under way.

    A test before may have had the model unloaded, or used it: heartbeats are a second old.
    """
    stack.worker(model)
    post(f"{stack.api()}{API}/{task}/{model}").raise_for_status()
    wait_for("an idle worker", lambda: stack.status(model).state is WorkerState.READY)


def job_statuses(stack: Stack, model: str, request_id: str) -> list[str]:
    """What the model's workers logged as status: ``done``, ``dropped``, or the name of an error."""
    return [
        json.loads(line)["status"]
        for line in stack.processes.logs(f"worker-{model}").splitlines()
        if line.startswith("{") and request_id in line and '"event": "job"' in line
    ]


def api_events(stack: Stack, request_id: str) -> list[str]:
    """What the APIs logged about a request."""
    whole_id = f'"{request_id}"'  # and not the beginning of another one
    return [line for line in stack.processes.logs("api").splitlines() if whole_id in line]


def wait_abandoned(stack: Stack, request_id: str) -> None:
    """Wait until an API has noticed that the client of a request is gone, and has cleared up."""
    (event,) = wait_for("its end", lambda: api_events(stack, request_id))
    assert '"status": 499' in event


@contextlib.contextmanager
def full_queue(stack: Stack, ask: Callable[[], T]) -> Iterator["list[Future[T]]"]:
    """Have the queue of ``narrow`` at its limit by requests that are answered after the block."""
    with ThreadPoolExecutor(3) as pool, stack.suspended("narrow"):
        asked = []
        for held in (1, 2):  # one after the other, as only one may queue
            asked.append(pool.submit(ask))
            stack.wait_held("narrow", held)
        asked.append(pool.submit(ask))
        wait_for("a queue", lambda: stack.presence("narrow").queued)
        yield asked


@contextlib.contextmanager
def posting(path: str, **body: Any) -> Iterator["list[requests.Response]"]:
    """Send a request in a thread; the list holds the reply when the block ends."""
    replies: list[requests.Response] = []
    thread = threading.Thread(target=lambda: replies.append(post(path, **body)))
    thread.start()
    yield replies
    thread.join()
