"""A queue for a thread that waits for pipes as well."""

import contextlib
import os
import queue
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Inbox(Generic[T]):
    """A queue whose file descriptor is readable while something is in it."""

    def __init__(self) -> None:
        self._entries: queue.SimpleQueue[T] = queue.SimpleQueue()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._is_awake = False
        """Whether what is put in now will be taken without waking anybody again."""

    def fileno(self) -> int:
        """Return the file descriptor to wait for."""
        return self._wake

    def put(self, entry: T) -> None:
        """Append an entry, and wake who waits; any thread may."""
        self.put_quietly(entry)
        self.wake()

    def put_quietly(self, entry: T) -> None:
        """Append an entry that is taken with the next one that wakes who waits."""
        self._entries.put(entry)

    def flush(self) -> None:
        """Have entries taken that are still there, because nothing has woken anybody since."""
        if not self._entries.empty():
            self.wake()

    def wake(self) -> None:
        """Have the entries taken."""
        if not self._is_awake:
            self._is_awake = True
            os.eventfd_write(self._wake, 1)

    def take(self) -> Iterator[T]:
        """Remove and return the entries, oldest first."""
        with contextlib.suppress(BlockingIOError):  # nothing came since
            os.eventfd_read(self._wake)
        self._is_awake = False  # before the look at the entries: later ones wake again
        while True:
            try:
                yield self._entries.get_nowait()
            except queue.Empty:
                return
