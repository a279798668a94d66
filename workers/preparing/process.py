"""The worker's handle on one preparing process: start it, have an image prepared, end it."""

import contextlib
import multiprocessing
import threading
import time

from shared.units import MEGA
from workers.preparing import child
from workers.preparing.preparation import Prepared
from workers.preparing.protocol import (
    Reply,
    Request,
    receive_hello,
    receive_reply,
    send_request,
)

_spawn = multiprocessing.get_context("spawn")
START_S = 60.0
"""How long it may take to start; half a second is usual."""
JOIN_S = 5.0
FILE_BYTES = 256 * MEGA
"""A prepared file has fewer: it is one that the API took, or a JPEG of one image."""


class ProcessLost(Exception):
    """The process crashed, was killed, or took too long; nothing came of the image."""

    def __init__(self, what: str) -> None:
        """State what happened, to go on after "its decoder"."""
        super().__init__(what)
        self.what = what


class PreparingProcess:
    """One spawned process; used by the thread that started it, which must outlive it.

    The kernel ends the child when the thread that started it ends (``PR_SET_PDEATHSIG``).
    """

    def __init__(self, max_megapixels: float, timeout_s: float) -> None:
        """Start the process, and wait until it is up.

        Raises:
            OSError: it cannot be started, or ended at once.
        """
        self._timeout_s = timeout_s
        self._most_bytes = int(FILE_BYTES + 3 * max_megapixels * MEGA)
        self._lock = threading.Lock()
        self._due: float | None = None
        self._timed_out = False
        self._pipe, theirs = _spawn.Pipe()
        self._process = _spawn.Process(
            target=child.main, args=(theirs, max_megapixels), name="preparing", daemon=True
        )
        self._process.start()
        theirs.close()
        try:
            receive_hello(self._pipe, START_S)
        except (EOFError, OSError) as err:
            self.close()
            msg = f"it ended with exit code {self._process.exitcode}: {err}"
            raise OSError(msg) from err

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid or 0

    @property
    def is_busy(self) -> bool:
        """Whether it has an image."""
        return self._due is not None

    def prepare(self, request: Request, data: bytes) -> tuple[Reply, Prepared]:
        """Have an image prepared.

        Raises:
            ProcessLost: nothing came of it, and the process has ended.
        """
        with self._lock:
            self._due = time.monotonic() + self._timeout_s
        try:
            send_request(self._pipe, request, data)
            return receive_reply(self._pipe, self._most_bytes)
        except (EOFError, OSError, ValueError) as err:
            self.close()
            what = "took too long" if self._timed_out else "crashed"
            raise ProcessLost(what) from err
        finally:
            with self._lock:
                self._due = None

    def check_deadline(self) -> None:
        """End the process if its image takes too long; for another thread, called often."""
        with self._lock:
            if self._due is not None and time.monotonic() > self._due:
                self._timed_out = True
                self._process.kill()

    def kill(self) -> None:
        """End the process now; for another thread."""
        self._process.kill()

    def close(self) -> None:
        """End the process now and wait for its end."""
        self._process.kill()
        self._process.join(JOIN_S)
        with contextlib.suppress(OSError):
            self._pipe.close()
