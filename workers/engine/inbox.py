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

    def fileno(self) -> int:
        """Return the file descriptor to wait for."""
        return self._wake

    def put(self, entry: T) -> None:
        """Append an entry; any thread may."""
        self._entries.put(entry)
        os.eventfd_write(self._wake, 1)

    def take(self) -> Iterator[T]:
        """Remove and return the entries, oldest first."""
        with contextlib.suppress(BlockingIOError):  # nothing came since
            os.eventfd_read(self._wake)
        while True:
            try:
                yield self._entries.get_nowait()
            except queue.Empty:
                return
