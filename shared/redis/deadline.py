"""Bounds how long a thread waits for Redis, through whichever library it waits.

A time-out of redis-py, of kombu or of Celery bounds one read or write. A request makes many of
them, one after another, so with a Redis that accepts and never answers they add up. Here a thread
says until when it waits, and each connection then waits no longer for any one of its steps.

redis-py has no such deadline, and kombu and Celery choose the classes of their connections
themselves. So three methods of redis-py's connections are replaced in this process.
``tests/api/test_redis_retry.py`` shows that all libraries use them.
"""

import contextlib
import time
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import redis
from redis.connection import AbstractConnection
from redis.utils import SENTINEL

_until: ContextVar[float | None] = ContextVar("redis_until", default=None)
_connect: Any = AbstractConnection.connect_check_health
_send: Any = AbstractConnection.send_packed_command
_read: Any = AbstractConnection.read_response


@contextlib.contextmanager
def redis_within(seconds: float) -> Iterator[None]:
    """Have each call to Redis in this block raise ``redis.TimeoutError`` after ``seconds`` in all.

    An outer block that ends earlier stays in force. Has no effect before :func:`install`.
    """
    until, outer = time.monotonic() + seconds, _until.get()
    token = _until.set(until if outer is None else min(until, outer))
    try:
        yield
    finally:
        _until.reset(token)


def install() -> None:
    """Replace the methods in this process; harmless when done twice."""
    connections: Any = AbstractConnection
    connections.connect_check_health = _bounded_connect
    connections.send_packed_command = _bounded_send
    connections.read_response = _bounded_read


def _left(connection: Any) -> float | None:  # noqa: ANN401 - redis-py's classes, here and below
    """Return the seconds that are left; ``None`` without a deadline.

    Raises:
        redis.TimeoutError: none are left. The connection is closed, since a reply may be on its
            way that would be taken for that of the next command.
    """
    until = _until.get()
    if until is None:
        return None
    left = until - time.monotonic()
    if left <= 0:
        connection.disconnect()
        raise redis.TimeoutError("The deadline has passed.")
    return left


def _bounded_connect(connection: Any, *args: Any, **more: Any) -> None:  # noqa: ANN401
    if connection.is_connected or (left := _left(connection)) is None:
        _connect(connection, *args, **more)
        return
    usual = connection.socket_timeout, connection.socket_connect_timeout
    connection.socket_timeout = _shorter(usual[0], left)  # for the handshake of TLS
    connection.socket_connect_timeout = _shorter(usual[1], left)
    try:
        _connect(connection, *args, **more)
    finally:
        connection.socket_timeout, connection.socket_connect_timeout = usual
    _set_timeout(connection, usual[0])


def _bounded_send(connection: Any, *args: Any, **more: Any) -> None:  # noqa: ANN401
    left = _left(connection)
    if left is None:
        _send(connection, *args, **more)
        return
    if not connection.is_connected:
        connection.connect_check_health(check_health=False)
    _set_timeout(connection, _shorter(connection.socket_timeout, left))
    try:
        _send(connection, *args, **more)
    finally:
        _set_timeout(connection, connection.socket_timeout)


def _bounded_read(
    connection: Any,  # noqa: ANN401
    *args: Any,  # noqa: ANN401
    timeout: Any = SENTINEL,  # noqa: ANN401
    **more: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    left = _left(connection)
    if left is not None:
        usual = connection.socket_timeout if timeout is SENTINEL else timeout
        if _shorter(usual, left) != usual:
            timeout = left
    return _read(connection, *args, timeout=timeout, **more)


def _shorter(timeout_s: float | None, left_s: float) -> float:
    return left_s if timeout_s is None else min(timeout_s, left_s)


def _set_timeout(connection: Any, timeout_s: float | None) -> None:  # noqa: ANN401
    """Set the time-out of the open socket, and of the parser, which restores it after reads."""
    if connection._sock is None:  # noqa: SLF001 - there is no public way to either
        return
    if connection._sock.gettimeout() == timeout_s:  # noqa: SLF001 - setting it calls the system
        return
    connection._sock.settimeout(timeout_s)  # noqa: SLF001
    buffer: Any = getattr(connection._parser, "_buffer", None)  # noqa: SLF001
    if hasattr(buffer, "socket_timeout"):
        buffer.socket_timeout = timeout_s
