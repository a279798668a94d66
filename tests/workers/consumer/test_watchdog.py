"""A worker that holds a task without progress, or breaks, ends, so that it is started again."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.client import post
from tests.stack import API, UP_S, Stack, end, running_stack
from workers.consumer.heartbeat import EXIT_STALLED

WEDGED = """
import threading
from workers import __main__
from workers.consumer import fetching, heartbeat
heartbeat.HELD_S = 2
fetching.Fetcher._fetch = lambda *_: threading.Event().wait()
__main__.main()
"""
"""A worker whose task never reaches the engine."""
SLOW_LINE = """
import time
from shared.redis.inputs import Inputs
from workers import __main__
from workers.consumer import heartbeat
heartbeat.HELD_S = 2
get = Inputs.get

def slowly(*args):
    time.sleep(5)
    return get(*args)

Inputs.get = slowly
__main__.main()
"""
"""A worker on another machine, to which large images take long."""
BROKEN = """
from celery.worker.consumer import Consumer
from workers import __main__

def start(self):
    raise ValueError("a bug")

Consumer.start = start
__main__.main()
"""
"""A worker whose consumer fails for a reason that nobody has thought of."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack without workers but those of the tests."""
    with running_stack(tmp_path_factory.mktemp("watchdog")) as running:
        yield running


@pytest.fixture(scope="module")
def api(stack: Stack) -> str:
    return stack.api()


@pytest.mark.slow
def test_a_task_that_is_held_outside_of_the_engine_ends_the_worker_and_is_served_by_the_next(
    stack: Stack, api: str
) -> None:
    wedged = stack.processes.start(
        "worker-restarting", [sys.executable, "-c", WEDGED, "restarting"]
    )
    stack.wait_ready("restarting")
    with ThreadPoolExecutor(1) as pool:
        reply = pool.submit(post, f"{api}{API}/caption/restarting", 5)
        assert wedged.wait(UP_S) == EXIT_STALLED
        successor = stack.another_worker("restarting")
        assert reply.result().json()["result"]["caption"]["text"] == "rgb 5 0 0"
    end(successor)
    assert "a task is held without progress" in stack.processes.logs("worker-restarting")


@pytest.mark.slow
def test_a_task_that_the_engine_has_is_left_alone_however_long_it_takes(
    stack: Stack, api: str
) -> None:
    patient = WEDGED.replace("fetching.Fetcher._fetch =", "unused =")
    argv = [sys.executable, "-c", patient, "leisurely"]  # whose batches take 3 s
    worker = stack.processes.start("worker-leisurely", argv)
    stack.wait_ready("leisurely")
    with ThreadPoolExecutor(8) as pool:
        path = f"{api}{API}/caption/leisurely"
        replies = list(pool.map(lambda red: post(path, red), range(8)))
    assert [reply.status_code for reply in replies] == [200] * 8
    assert worker.poll() is None
    end(worker)


@pytest.mark.slow
def test_a_task_whose_images_come_over_a_slow_line_is_left_alone(stack: Stack, api: str) -> None:
    worker = stack.processes.start("worker-fake", [sys.executable, "-c", SLOW_LINE, "fake"])
    stack.wait_ready("fake")
    reply = post(f"{api}{API}/caption/fake", 7)
    assert reply.status_code == 200
    assert worker.poll() is None
    end(worker)


def test_a_worker_that_breaks_says_why_and_ends_with_a_status_of_failure(stack: Stack) -> None:
    broken = stack.processes.start("worker-broken", [sys.executable, "-c", BROKEN, "restarting"])
    assert broken.wait(UP_S) == 1
    assert "a bug" in stack.processes.logs("worker-broken")
