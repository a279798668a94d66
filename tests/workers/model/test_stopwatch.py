"""A busy host makes a process slow, but does not wear it."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from workers.model import stopwatch
from workers.model.stopwatch import Stopwatch, seconds_without_core

COMPUTED_S = 0.4


@pytest.fixture
def busy_core() -> Iterator[None]:
    """Has this thread share its core with two processes that never pause."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})  # the processes inherit it
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
        for other in others:
            other.kill()
            other.wait()


def compute() -> None:
    until = time.thread_time() + COMPUTED_S
    while time.thread_time() < until:
        pass


@pytest.mark.usefixtures("busy_core")
def test_what_others_take_of_a_core_does_not_count() -> None:
    watch = Stopwatch()
    compute()
    alone_s, elapsed_s = watch.alone_s(), watch.elapsed_s()
    assert elapsed_s > 2 * COMPUTED_S
    assert COMPUTED_S <= alone_s < COMPUTED_S + (elapsed_s - COMPUTED_S) / 2


def test_what_a_process_waits_for_beside_cores_does_count() -> None:
    waited_before_s = seconds_without_core()
    watch = Stopwatch()
    time.sleep(COMPUTED_S)  # as a GPU would have it wait
    alone_s = watch.alone_s()
    waited_s = seconds_without_core() - waited_before_s  # of all threads of the tests
    assert COMPUTED_S - waited_s <= alone_s <= watch.elapsed_s()


def test_the_end_of_a_thread_that_had_waited_makes_no_work_longer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(stopwatch, "TASKS", tmp_path)
    thread = tmp_path / "1"
    thread.mkdir()
    (thread / "schedstat").write_text(f"0 {3600 * 10**9} 1")
    watch = Stopwatch()
    (thread / "schedstat").unlink()
    assert watch.alone_s() < 60


def test_where_the_kernel_tells_nothing_all_time_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(stopwatch, "TASKS", tmp_path)
    watch = Stopwatch()
    time.sleep(0.01)
    assert watch.alone_s() >= 0.01
