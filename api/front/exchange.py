"""One request and its reply on a connection."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from api.http.client_connection import hold_nothing, nobody_waits
from shared.units import MEGA

if TYPE_CHECKING:
    from api.front.connection import Connection

LINGER_BYTES = 256 * MEGA
"""How much of a body is discarded after its reply."""


class _LingeringTransport:
    """What uvicorn's cycle takes for its transport, so that closing it loses no reply."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection
        self.write = connection.transport.write
        self.is_closing = connection.transport.is_closing

    def close(self) -> None:
        self._connection.end()


class Exchange:
    """A request and its reply: what uvicorn's cycle does, and what it does not know."""

    def __init__(self, connection: "Connection", cycle: RequestResponseCycle) -> None:
        cycle.transport = _LingeringTransport(connection)  # type: ignore[assignment]
        self._connection, self._cycle = connection, cycle
        self.receive = cycle.receive
        self.arrived = connection.arrived
        """When its first byte came, in seconds since the epoch."""
        self.gone = connection.gone
        self.when_gone: Callable[[], object] = nobody_waits
        """What :meth:`api.front.application.Front` calls when the client is gone."""
        self.hold: Callable[[int], object] = hold_nothing
        """Set by :meth:`api.front.application.Front` for requests whose memory is counted."""
        headers = dict(cycle.scope["headers"])
        self.has_length = b"transfer-encoding" not in headers
        self.length = int(headers.get(b"content-length", 0))
        self.is_read = False
        """Whether somebody has begun to read the body."""
        self._is_framed = True

    @property
    def has_body(self) -> bool:
        """Whether the header announces a body."""
        return bool(self.length) or not self.has_length

    @property
    def is_gone(self) -> bool:
        """Whether the client has closed its side of the connection; may be asked in any thread."""
        return self.gone.done()

    @property
    def is_malformed(self) -> bool:
        """Whether what came after the header is not HTTP."""
        return self._connection.is_malformed

    @property
    def is_lost(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._cycle.disconnected

    @property
    def has_started(self) -> bool:
        """Whether a part of the reply has been sent."""
        return self._cycle.response_started

    def close_after_reply(self) -> None:
        """Have this reply be the last one on the connection."""
        self._cycle.keep_alive = False

    async def send_head(
        self, status: int, headers: list[tuple[bytes, bytes]], *, has_length: bool
    ) -> None:
        """Begin the reply.

        Args:
            status: the status.
            headers: names in lower case.
            has_length: whether they have the length of the body.
        """
        cycle = self._cycle
        # A client that was not told to go on may or may not send its body (RFC 9110, 10.1.1).
        if cycle.waiting_for_100_continue or self.length > LINGER_BYTES:
            cycle.keep_alive = False
        if not has_length and cycle.scope["http_version"] == "1.0":
            # Such a client knows no chunks: the end of the connection is the end of the reply.
            cycle.chunked_encoding, cycle.expected_content_length = False, sys.maxsize
            self._is_framed = False
        await cycle.send({"type": "http.response.start", "status": status, "headers": headers})

    async def send_part(self, part: bytes, *, more: bool) -> None:
        """Send a part of the reply's body, when the client has read what came before."""
        if not self._is_framed and not more:
            await self._send(part, more=True)
            part, self._cycle.expected_content_length = b"", 0
        await self._send(part, more=more)

    async def _send(self, part: bytes, *, more: bool) -> None:
        message: Any = {"type": "http.response.body", "body": part, "more_body": more}
        await self._cycle.send(message)

    def abort(self) -> None:
        """End the connection, because the reply cannot be completed."""
        self._connection.transport.abort()
