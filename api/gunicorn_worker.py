"""gunicorn's threaded worker, which ends connections so that the reply always arrives.

A request may be refused before its body was read: the key is wrong, the body too large, a queue
full. gunicorn then closes the connection although the client is still sending. The kernel answers
what comes afterwards with a reset, and a reset makes the client's kernel discard the reply, so the
client sees a broken connection instead of the status.

RFC 9112, section 9.6, says how to prevent that: announce the end (``Connection: close``), close
only the sending side, and discard what still comes until the client closes its side. gunicorn does
so for 64 kB at most, and in its event loop, which accepts no connection meanwhile. This worker
discards in the event loop as data come: no thread is held, and nothing waits.
"""

import socket
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from selectors import EVENT_READ
from typing import Any

from gunicorn import util
from gunicorn.http.body import ChunkedReader, LengthReader
from gunicorn.http.message import Request
from gunicorn.workers.gthread import TConn, ThreadWorker

from shared.units import MEGA

LINGER_S = 30.0
"""How long the rest of a refused body is discarded, as nginx's ``lingering_time``."""
LINGER_BYTES = 256 * MEGA
"""How much of it."""
MAX_LINGERING = 200
"""Connections that linger at once; for one more, the oldest is closed."""
KEEP_ALIVE_BYTES = 64 * 1024
"""gunicorn discards a shorter rest of a body itself, and keeps the connection for the next
request."""
_CHUNK_BYTES = 256 * 1024


@dataclass(eq=False)
class _Lingering:
    """A connection on which everything has been sent, and what comes is discarded."""

    socket: socket.socket
    left_bytes: int = LINGER_BYTES
    deadline: float = field(default_factory=lambda: time.monotonic() + LINGER_S)


class LingeringWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn is not typed
    """The threaded worker, with other ends of connections."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as the base class
        super().__init__(*args, **kwargs)
        # Both are used in the event loop's thread only.
        self._lingering: dict[_Lingering, None] = {}  # the oldest first
        self._waste = bytearray(_CHUNK_BYTES)

    def handle_request(self, req: Request, conn: TConn) -> bool:
        """Answer a request; announce ``Connection: close`` if much of its body is unread by then.

        gunicorn asks ``should_close`` when it writes the reply's header, and after the reply.
        """
        asks_to_close: Callable[[], bool] = req.should_close
        req.should_close = lambda: asks_to_close() or has_unread_body(req)
        return bool(super().handle_request(req, conn))

    def finish_request(self, conn: TConn, fs: "Future[Any]") -> None:
        """Keep the connection or end it, without blocking the event loop."""
        conn.close = partial(self._close, conn)
        super().finish_request(conn, fs)

    def murder_pending(self) -> None:
        """Close connections whose time is over; gunicorn calls this at least once a second."""
        super().murder_pending()
        while (oldest := next(iter(self._lingering), None)) and self._is_over(oldest):
            self._end(oldest)

    def _is_over(self, oldest: _Lingering) -> bool:
        return len(self._lingering) > MAX_LINGERING or oldest.deadline <= time.monotonic()

    def _close(self, conn: TConn, *, graceful: bool = False) -> None:
        if not graceful:
            util.close(conn.sock)
            return
        lingering = _Lingering(conn.sock)
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            conn.sock.settimeout(0)
            self.poller.register(conn.sock, EVENT_READ, partial(self._discard, lingering))
        except (OSError, ValueError):  # the client has gone
            util.close(conn.sock)
        else:
            self._lingering[lingering] = None

    def _discard(self, lingering: _Lingering, _: object) -> None:
        try:
            count = lingering.socket.recv_into(self._waste)
        except BlockingIOError:
            return
        except OSError:
            count = 0
        lingering.left_bytes -= count
        if not count or lingering.left_bytes <= 0:
            self._end(lingering)

    def _end(self, lingering: _Lingering) -> None:
        del self._lingering[lingering]
        self.poller.unregister(lingering.socket)
        util.close(lingering.socket)


def has_unread_body(req: Request) -> bool:
    """Return whether so much of a request's body is unread that its connection must be closed."""
    body = req.body
    if body.failed:
        return True
    match body.reader:
        case LengthReader():
            return bool(body.reader.length + body.buf.tell() >= KEEP_ALIVE_BYTES)
        case ChunkedReader():
            return body.reader.parser is not None
        case _:
            return False
