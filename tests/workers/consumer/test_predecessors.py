"""A worker signs off those of its host that were killed before it, and no others."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from shared.redis.leases import LEASE_TTL_S, TaskLocation
from shared.redis.presence import WorkerStatus
from tests.stack import Stack, running_stack
from workers.consumer.predecessors import SILENT_S, sign_off_predecessors

HOST = "a.host"
OWN = f"m-{os.getpid()}@{HOST}"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A Redis in which no worker has been."""
    with running_stack(tmp_path_factory.mktemp("predecessors")) as running:
        yield running


@pytest.fixture(autouse=True)
def _empty(stack: Stack) -> None:
    stack.redis.flushdb()


@contextmanager
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def ended_pid() -> int:
    with sleeper() as process:
        return process.pid


def beat(stack: Stack, worker: str, silent_s: float = 0.0) -> None:
    """Write a heartbeat of a worker that holds the task of its own name, some seconds ago."""
    status = WorkerStatus(worker=worker, model="m", started_at=time.time() - 60)
    stack.store.presence.beat(status, [worker], 60)
    stack.redis.pexpire(f"vision:alive:{worker}", round((LEASE_TTL_S - silent_s) * 1000))


def sign_off(stack: Stack, stop: threading.Event | None = None) -> None:
    sign_off_predecessors(stack.store, "m", OWN, stop or threading.Event())


def where(stack: Stack, worker: str) -> TaskLocation:
    return stack.store.leases.locate(worker, "a queue", 0.0)


def has_lost(stack: Stack, worker: str) -> bool:
    location = where(stack, worker)
    return location.held and not location.holder_alive


def test_one_whose_process_is_gone_loses_its_tasks(stack: Stack) -> None:
    killed = f"m-{ended_pid()}@{HOST}"
    beat(stack, killed)

    sign_off(stack)

    assert has_lost(stack, killed)
    assert stack.redis.smembers("vision:workers:m") == set()


def test_one_that_nobody_has_waited_for_yet_is_gone(stack: Stack) -> None:
    with sleeper() as process:
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it stays as a zombie
        beat(stack, f"m-{process.pid}@{HOST}", SILENT_S)

        sign_off(stack)

    assert has_lost(stack, f"m-{process.pid}@{HOST}")


def test_one_whose_process_id_belongs_to_a_later_process_is_gone(stack: Stack) -> None:
    with sleeper() as later:
        reused = f"m-{later.pid}@{HOST}"
        beat(stack, reused, 8.0)

        sign_off(stack)

        assert has_lost(stack, reused)


def test_one_of_the_same_name_before_this_one_loses_its_tasks(stack: Stack) -> None:
    beat(stack, OWN)

    sign_off(stack)
    stack.store.presence.beat(WorkerStatus(worker=OWN, model="m", started_at=0), ["new"], 60)

    assert has_lost(stack, OWN)
    assert where(stack, "new").holder_alive


@pytest.mark.parametrize("name", ["m-{pid}@another.host", "m-{pid}@axhost", "m-x-{pid}@a.host"])
def test_workers_of_other_hosts_and_models_are_left_alone(stack: Stack, name: str) -> None:
    other = name.format(pid=ended_pid())
    beat(stack, other, SILENT_S)

    sign_off(stack)

    assert where(stack, other).holder_alive


def test_one_that_lives_and_stands_still_is_left_alone(stack: Stack) -> None:
    living = f"m-{os.getppid()}@{HOST}"
    beat(stack, living, 8.0)

    sign_off(stack)

    assert where(stack, living).holder_alive


@pytest.mark.parametrize("name", [f"m-{{pid}}@{HOST}", OWN], ids=["another", "the-same-name"])
def test_one_that_sends_heartbeats_is_left_alone_though_its_process_is_not_seen(
    stack: Stack, name: str
) -> None:
    """Such as that of a container that shares the host name, but not the processes."""
    elsewhere = name.format(pid=ended_pid())
    beat(stack, elsewhere)
    stop = threading.Event()

    def beat_on() -> None:
        while not stop.wait(0.2):
            beat(stack, elsewhere)

    beating = threading.Thread(target=beat_on)
    beating.start()
    sign_off(stack)
    stop.set()
    beating.join()

    assert where(stack, elsewhere).holder_alive


def test_a_worker_that_is_stopped_meanwhile_does_not_wait(stack: Stack) -> None:
    killed = f"m-{ended_pid()}@{HOST}"
    beat(stack, killed)
    stop = threading.Event()
    stop.set()

    sign_off(stack, stop)

    assert where(stack, killed).holder_alive
