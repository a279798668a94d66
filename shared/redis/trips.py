"""Commands that each request needs, sent to Redis in one write, by a connection of each thread.

redis-py's pipelines and pools take three times the CPU time, and nine calls of the system where
these are two. With each of them another thread may take Python's lock, and has to give it back.
"""

import select
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import redis

Command = Sequence[bytes | str | int]
"""A command's words, as Redis knows them."""
FRESH_S = 0.2
"""How long after its last use a connection counts as open without a look at it."""


class _OfThread(threading.local):
    """What one thread has."""

    def __init__(self) -> None:
        self.lines: WeakKeyDictionary[redis.ConnectionPool, _Line] = WeakKeyDictionary()


class _Line:
    """A connection like those of a pool, and when it was last used."""

    def __init__(self, pool: redis.ConnectionPool) -> None:
        self._connection: Any = pool.connection_class(**pool.connection_kwargs)
        self._used_at = 0.0

    def send(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands; return the replies, of which some may be errors."""
        if time.monotonic() - self._used_at > FRESH_S and self._was_closed():
            self._connection.disconnect()
        packed = self._connection.pack_commands(commands)
        self._connection.send_packed_command([b"".join(packed)])
        replies = [self._reply() for _ in commands]
        self._used_at = time.monotonic()
        return replies

    def _was_closed(self) -> bool:
        """Return whether Redis has closed it, or it has what nobody asked for."""
        socket: Any = self._connection._sock  # noqa: SLF001 - there is no public way to it
        if socket is None:
            return False
        poller = select.poll()
        poller.register(socket, select.POLLIN)
        return bool(poller.poll(0))

    def _reply(self) -> Any:  # noqa: ANN401 - what Redis replies
        """Read one reply, be it an error: those behind it must not be taken for the next trip's."""
        try:
            return self._connection.read_response()
        except redis.ResponseError as err:
            return err


_of_thread = _OfThread()


def replies_to(client: "redis.Redis", commands: Iterable[Command]) -> list[Any]:
    """Send some commands and return the replies to them, as they come; refusals are among them.

    Others' commands may come between these.

    Raises:
        redis.RedisError: Redis cannot be reached, or does not answer.
    """
    pool = client.connection_pool
    line = _of_thread.lines.get(pool)
    if line is None:
        line = _of_thread.lines[pool] = _Line(pool)
    return line.send(tuple(commands))


def in_one_trip(client: "redis.Redis", commands: Iterable[Command]) -> list[Any]:
    """Send some commands and return the replies to them, none of which is a refusal.

    Raises:
        redis.RedisError: of the first command that was refused, though the others were carried
            out; or as :func:`replies_to`.
    """
    replies = replies_to(client, commands)
    for reply in replies:
        if isinstance(reply, redis.ResponseError):
            raise reply
    return replies
