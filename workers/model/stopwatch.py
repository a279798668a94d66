"""How long work takes, and how long it would have taken if nobody else had used the cores."""

import time
from contextlib import suppress
from pathlib import Path

TASKS = Path("/proc/self/task")
_NS = 1e-9


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
    waited_ns = 0
    for task in TASKS.iterdir() if TASKS.is_dir() else ():
        with suppress(OSError, ValueError, IndexError):  # the thread has ended, or no such file
            waited_ns += int((task / "schedstat").read_text(encoding="ascii").split()[1])
    return waited_ns * _NS
