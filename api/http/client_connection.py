"""The client's connection: has it hung up while we wait, and does it send at all?"""

import select
import socket
from collections.abc import Mapping
from typing import Any

STALL_S = 20.0


def client_gone(environ: Mapping[str, Any]) -> bool:
    """Say whether the peer of this request has closed its side of the connection.

    ``POLLRDHUP`` sees it even behind pipelined or unread data, where peeking is blind. Servers
    other than gunicorn do not pass the socket on: then nobody ever hangs up.
    """
    connection = environ.get("gunicorn.socket")
    if not isinstance(connection, socket.socket) or connection.fileno() < 0:
        return False
    poller = select.poll()
    poller.register(connection, select.POLLRDHUP)
    return bool(poller.poll(0))


def limit_stalls(environ: Mapping[str, Any]) -> None:
    """Have reading the body fail when the client sends nothing for ``STALL_S``.

    Else a client that sends half a request holds a request slot for as long as it likes.
    """
    connection = environ.get("gunicorn.socket")
    if isinstance(connection, socket.socket):
        connection.settimeout(STALL_S)
