"""uvicorn's protocol, which parses requests no sooner than they can be answered.

uvicorn parses whatever has come: a quarter of a megabyte may hold 14,000 requests, which stopped
the event loop for half a second, and then it reads on after each reply. As much may hold 43,000
chunks of a body, which took 0.1 s for each client that sent such.
"""

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.front.crowd import client_of
from api.front.messages import header_without_upgrade
from api.front.turns import Turns

HEADER_PIECE, BODY_PIECE = 256, 4096
"""Bytes that are parsed at once where a header is expected, and in a body. Whatever requests are in
a piece are begun together: at least 18 bytes each, and 0.03 ms."""
LARGE_PIECE = 256 * 1024
"""Bytes that are parsed at once of a body that is known to have so many more."""
MANY_PARTS = 512
"""Parts of a body, and fields behind it, after which parsing goes on in turns, one at each pass of
the loop. So many take 1 ms; a quarter of a megabyte in chunks of 1 kB has fewer."""
_TURNS = "turns of parsing"


class Flow(FlowControl):
    """uvicorn's, but nothing is read while what has come is still to be parsed."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__(transport)
        self._is_held = self._is_stopped = False

    def pause_reading(self) -> None:
        """Read no more until told to go on."""
        self._is_stopped = True
        super().pause_reading()

    def resume_reading(self) -> None:
        """Read on, or do so when what has come is parsed."""
        self._is_stopped = False
        if not self._is_held:
            super().resume_reading()

    def hold(self) -> None:
        """Read no more until released, whoever tells it to go on."""
        self._is_held = True
        super().pause_reading()

    def release(self) -> None:
        """Read on, unless told not to."""
        self._is_held = False
        if not self._is_stopped:
            super().resume_reading()


class ParsingProtocol(HttpToolsProtocol):
    """Parses piece by piece, and stops while a request waits for the one before it."""

    flow: Flow

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as the base class
        super().__init__(*args, **kwargs)
        self._unparsed = bytearray()
        self._in_header = self._in_message = False
        self._body_left = 0
        """Bytes that are still to come of a body whose length the header tells."""
        self._parts = 0
        """Parts of bodies, and fields behind them, that were parsed in this turn."""
        self._turns: Turns = self.app_state.setdefault(_TURNS, Turns())
        self._catching_up: asyncio.Task[None] | None = None
        """Parses what has come in turns; ``None``: all that may be parsed is."""

    @property
    def peer(self) -> str:
        """The address at the other end."""
        return self.client[0] if self.client else ""

    def parse(self, piece: bytes) -> bool:
        """Parse a piece; return whether more may be parsed.

        Raises:
            httptools.HttpParserUpgrade: the header is complete, and asks for another protocol.
        """
        raise NotImplementedError

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - as the base class
        """Begin."""
        super().connection_made(transport)
        self.flow = Flow(transport)

    def data_received(self, data: bytes) -> None:
        """Parse what has come, or keep it, and then read no more."""
        self._unparsed += data
        self._parse_more()

    def on_response_complete(self) -> None:
        """Begin the next request, or wait for it."""
        super().on_response_complete()
        self._parse_more()

    def _parse_more(self) -> None:
        if self._catching_up is None and self._take_turn():
            self.flow.hold()
            self._catching_up = self.loop.create_task(self._catch_up())

    async def _catch_up(self) -> None:
        is_behind = True
        try:
            while is_behind:
                await self._turns.take(client_of(self.peer))
                is_behind = self._take_turn()
        except Exception:  # a bug: asyncio does the same where data_received raises
            self.transport.abort()
            raise
        self._catching_up = None
        self.flow.release()

    def _take_turn(self) -> bool:
        """Parse what may be parsed; return whether some of it is left for another turn."""
        self._parts = 0
        while self._unparsed and not self.pipeline and not self.transport.is_closing():
            if self._parts >= MANY_PARTS:
                return True
            size = self._piece_size()
            piece = bytes(self._unparsed[:size])
            del self._unparsed[:size]
            try:
                if not self.parse(piece):
                    self._unparsed.clear()
            except httptools.HttpParserUpgrade as upgrade:
                self._go_on_without_upgrade(piece[upgrade.args[0] :])
        if self.pipeline:
            self.flow.pause_reading()
        return False

    def _piece_size(self) -> int:
        if not self._in_message or self._in_header:
            return HEADER_PIECE
        return max(BODY_PIECE, min(self._body_left, LARGE_PIECE))

    def _go_on_without_upgrade(self, rest: bytes) -> None:
        """Have the header parsed again without its wish for another protocol, never granted."""
        method, version = self.parser.get_method(), self.parser.get_http_version()
        header = header_without_upgrade(method, self.url, version, self.headers)
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's
        self._unparsed[:0] = header + rest
