"""The client's connection: whether the client has closed it, and how long it may send nothing."""

import contextlib
import select
import socket
import threading
from collections.abc import Iterator, Mapping
from typing import Any

STALL_S = 20.0
"""How long a client may send nothing before its request is complete."""


class ClientGone(Exception):
    """The client closed its connection before the reply."""


def has_disconnected(environ: Mapping[str, Any]) -> bool:
    """Return whether the client of a request has closed its side of the connection.

    ``POLLRDHUP`` detects that even when there is unread data before the end, where a peek into the
    stream would see only the data. Servers other than gunicorn do not pass the socket on; with
    them the result is always false.
    """
    connection = environ.get("gunicorn.socket")
    if not isinstance(connection, socket.socket) or connection.fileno() < 0:
        return False
    poller = select.poll()
    poller.register(connection, select.POLLRDHUP)
    return bool(poller.poll(0))


def limit_stalls(environ: Mapping[str, Any]) -> None:
    """Have reading the body fail when the client sends nothing for ``STALL_S``.

    Otherwise a client that sends half a request could hold a request slot for as long as it likes.
    """
    connection = environ.get("gunicorn.socket")
    if isinstance(connection, socket.socket):
        connection.settimeout(STALL_S)


@contextlib.contextmanager
def limit_body_time(environ: Mapping[str, Any], seconds: float) -> Iterator[None]:
    """Have the body end after ``seconds``, whatever the client sends, and however slowly."""
    connection = environ.get("gunicorn.socket")
    if not isinstance(connection, socket.socket):
        yield
        return

    def end_body() -> None:
        # gunicorn does not keep a connection on which it is unknown where the next request begins.
        environ["wsgi.input"].failed = True
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RD)

    timer = threading.Timer(seconds, end_body)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
