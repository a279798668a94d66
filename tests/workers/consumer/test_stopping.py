"""A worker that is told to stop ends in time, whatever Redis does."""

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

import pytest

from launcher.supervisord import STOP_TIMEOUT_S
from tests.integration.client import post
from tests.redis_faults import full, gone, silent
from tests.stack import API, Stack, running_stack, wait_for
from workers.consumer.stopping import Stopping

Fault = Callable[[Stack], AbstractContextManager[None]]


@pytest.fixture
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("stopping"), VISION_TIMEOUT="120") as running:
        running.worker("slow")
        yield running


@pytest.mark.slow
@pytest.mark.parametrize("fault", [silent, gone, full])
def test_a_worker_with_requests_stops_before_it_is_killed(stack: Stack, fault: Fault) -> None:
    base = stack.api()
    with ThreadPoolExecutor(3) as pool:
        path = f"{base}{API}/caption/slow"
        replies = [pool.submit(post, path, timeout=180) for _ in range(3)]
        wait_for("the requests", lambda: stack.status("slow").held)
        (worker,) = stack._workers.values()
        with fault(stack):
            worker.terminate()
            assert worker.wait(STOP_TIMEOUT_S) == 0
        if fault is silent:  # for longer than these requests may take
            return
        stack.another_worker("slow")
        assert [reply.result().status_code for reply in replies] == [200] * 3


@pytest.mark.slow
def test_a_worker_that_cannot_connect_stops_as_fast(stack: Stack) -> None:
    (worker,) = stack._workers.values()
    with silent(stack):
        logs = stack.processes.logs
        wait_for("lost connections", lambda: logs("worker-slow").count("no heartbeat") > 2)
        worker.terminate()
        assert worker.wait(STOP_TIMEOUT_S) == 0


@pytest.mark.slow
def test_a_worker_that_has_reconnected_stops_as_fast(stack: Stack) -> None:
    """It holds 16 requests, of which it puts back on the queue what it has not begun."""
    stack.worker("leisurely")
    worker, logs, base = stack._workers["leisurely"], stack.processes.logs, stack.api()
    stack.redis.client_kill_filter(_type="normal")
    wait_for("the loss", lambda: "Connection to broker lost" in logs("worker-leisurely"))
    with ThreadPoolExecutor(16) as pool:
        for _ in range(16):
            pool.submit(post, f"{base}{API}/caption/leisurely", timeout=180)
        stack.wait_held("leisurely", 16)
        with silent(stack):
            worker.terminate()
            assert worker.wait(STOP_TIMEOUT_S) == 0
        stack.another_worker("leisurely")
    assert "Error on stopping" not in logs("worker-leisurely")


def test_a_second_signal_does_not_interrupt_the_wait_for_the_last_tasks() -> None:
    before, stopping = signal.getsignal(signal.SIGALRM), Stopping()
    try:
        stopping.begin()
        signal.alarm(0)  # as the consumer does when it stops
        stopping.begin()
        assert signal.alarm(0) == 0
    finally:
        signal.signal(signal.SIGALRM, before)
