"""Sends messages to a process that may not read, without waiting for it."""

import contextlib
import os
import queue
import socket
import threading
from collections.abc import Sequence
from multiprocessing.connection import Connection

from pydantic import BaseModel

from workers.preparing.frames import MOST_PIECES, pieces_of, without


class Outbox:
    """What one thread sends over a pipe.

    That thread writes as much as the pipe takes at once, which is all of a usual message, because
    the other process reads whatever comes. A thread of the outbox writes the rest: a process that
    hangs may not read, and must not hang its engine with it.
    """

    def __init__(self, pipe: Connection) -> None:
        self._socket = socket.socket(fileno=os.dup(pipe.fileno()))
        self._rest: queue.SimpleQueue[list[bytes | memoryview] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._behind = 0
        """How many messages the outbox's thread has not written yet; later ones wait for them."""
        self._is_closed = False
        threading.Thread(target=self._write_rest, name="writer", daemon=True).start()

    def put(self, message: BaseModel, contents: Sequence[bytes] = ()) -> None:
        """Send a message, and what goes with it; a process that is gone gets nothing."""
        if self._is_closed:
            return
        left = pieces_of(message, contents)
        with self._lock:
            is_next = self._behind == 0
        if is_next:
            left = self._after_writing_at_once(left)
        if left:
            with self._lock:
                self._behind += 1
            self._rest.put(left)

    def close(self) -> None:
        """Send nothing any more."""
        self._is_closed = True
        self._rest.put(None)

    def _after_writing_at_once(self, pieces: list[bytes | memoryview]) -> list[bytes | memoryview]:
        """Write what the pipe takes; return the rest."""
        try:
            return without(
                pieces, self._socket.sendmsg(pieces[:MOST_PIECES], (), socket.MSG_DONTWAIT)
            )
        except BlockingIOError:
            return pieces
        except OSError:  # the process is gone; who reads from it hears of that
            return []

    def _write_rest(self) -> None:
        with self._socket:  # closed in no other thread, which might write to another file then
            while (left := self._rest.get()) is not None:
                with contextlib.suppress(OSError):  # likewise
                    while left:
                        left = without(left, self._socket.sendmsg(left[:MOST_PIECES]))
                with self._lock:
                    self._behind -= 1
