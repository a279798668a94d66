"""How long work takes, and how long it would have taken if nobody else had used the cores."""

import os
import time
from contextlib import suppress
from pathlib import Path

TASKS = Path("/proc/self/task")
_NS = 1e-9
_files: dict[str, int] = {}
"""Open files by thread: to open one takes ten times as long as to read it, and the answers to each
batch would wait for that."""


class Stopwatch:
    """Measures from its creation, in the thread that created it."""

    def __init__(self) -> None:
        """Begin."""
        self._waited_s = seconds_without_core()
        self._computed_s = time.thread_time()
        self._began_at = time.perf_counter()

    def elapsed_s(self) -> float:
        """Return the seconds that passed."""
        return time.perf_counter() - self._began_at

    def alone_s(self) -> float:
        """Return about how many seconds would have passed on an idle host.

        That is without the time for which this process' threads were kept from a core, but not less
        than this thread computed. It counts what a process waits for beside cores, such as a GPU,
        or memory that was swapped out; CPU time alone would not tell of these.
        """
        elapsed_s = self.elapsed_s()
        # The sum is smaller than before if a thread that had waited has ended meanwhile.
        waited_s = max(0.0, seconds_without_core() - self._waited_s)
        return max(elapsed_s - waited_s, time.thread_time() - self._computed_s)


def seconds_without_core() -> float:
    """Return how long this process' threads could have computed, but others had the cores.

    0 where the kernel does not say.
    """
    return sum(_waited_ns(task) for task in _threads()) * _NS


def _threads() -> set[str]:
    """Return the folders of all threads, and close the files of those that have ended."""
    with suppress(OSError):
        threads = {f"{TASKS}/{task}" for task in os.listdir(TASKS)}  # noqa: PTH208 - twice as fast
        for ended in _files.keys() - threads:
            os.close(_files.pop(ended))
        return threads
    return set()


def _waited_ns(task: str) -> int:
    with suppress(OSError, ValueError, IndexError):  # the thread has ended, or no such file
        if task not in _files:
            _files[task] = os.open(f"{task}/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        return int(os.pread(_files[task], 100, 0).split()[1])
    return 0
