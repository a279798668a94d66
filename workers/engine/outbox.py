"""Sends messages to a process that may not read, without waiting for it."""

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
        self._pipe = pipe
        self._socket = socket.socket(fileno=os.dup(pipe.fileno()))
        self._rest: queue.SimpleQueue[list[bytes | memoryview] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._behind = 0
        """How many messages the outbox's thread has not written yet; later ones wait for them."""
        threading.Thread(target=self._write_rest, name="writer", daemon=True).start()

    def put(self, message: BaseModel, contents: Sequence[bytes] = ()) -> None:
        """Send a message, and what goes with it; a process that is gone gets nothing."""
        left = pieces_of(message, contents)
        with self._lock:
            is_next = self._behind == 0
        if is_next:
            left = without(left, self._write_at_once(left))
        if left:
            with self._lock:
                self._behind += 1
            self._rest.put(left)

    def close(self) -> None:
        """Send nothing any more."""
        self._rest.put(None)
        self._socket.close()

    def _write_at_once(self, pieces: list[bytes | memoryview]) -> int:
        """Write what the pipe takes; return how many bytes that is."""
        try:
            return self._socket.sendmsg(pieces[:MOST_PIECES], (), socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0
        except OSError:  # the process is gone; who reads from it hears of that
            return sum(map(len, pieces))

    def _write_rest(self) -> None:
        while (left := self._rest.get()) is not None:
            try:
                while left:
                    left = without(left, os.writev(self._pipe.fileno(), left[:MOST_PIECES]))
            except OSError:  # likewise
                return
            with self._lock:
                self._behind -= 1
