"""What a call costs: memory beyond what was there before, and the interpreter's lock."""

import contextlib
import gc
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Self


class Cost(NamedTuple):
    """What a call costs."""

    memory: int
    """Bytes at the peak, beyond what was resident before."""
    lock_s: float
    """The longest time in which no other thread ran, in seconds of this process' CPU time, so that
    a busy machine makes little difference."""


class Ticks(threading.Thread):
    """A thread that wants to run each millisecond; ``longest_s`` is how long it had to wait."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.longest_s, self._over, self._begun = 0.0, threading.Event(), threading.Event()

    def run(self) -> None:
        last = time.process_time()
        while not self._over.is_set():
            self._begun.set()
            time.sleep(0.001)
            now = time.process_time()
            self.longest_s, last = max(self.longest_s, now - last), now

    def __enter__(self) -> Self:
        self.start()
        self._begun.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()


def cost_of(call: Callable[[], object]) -> Cost:
    """Measure a call; what it raises is of no interest here."""
    gc.collect()
    with Ticks() as ticks:
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from now on: proc(5)
        before = peak()
        with contextlib.suppress(Exception):
            call()
        after = peak()
    return Cost(after - before, ticks.longest_s)


def peak() -> int:
    """The highest number of bytes that were resident."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
