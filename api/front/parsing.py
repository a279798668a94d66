"""uvicorn's protocol, which parses requests no sooner than they can be answered.

uvicorn parses whatever has come: a quarter of a megabyte may hold 14,000 requests, which stopped
the event loop for half a second, and then it reads on after each reply.
"""

from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.front.messages import header_without_upgrade

HEADER_PIECE, BODY_PIECE = 256, 4096
"""Bytes that are parsed at once where a header is expected, and in a body. Whatever requests are in
a piece are begun together: at least 18 bytes each, and 0.03 ms."""
LARGE_PIECE = 256 * 1024
"""Bytes that are parsed at once of a body that is known to have so many more."""


class ParsingProtocol(HttpToolsProtocol):
    """Parses piece by piece, and stops while a request waits for the one before it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as the base class
        super().__init__(*args, **kwargs)
        self._unparsed = bytearray()
        self._in_header = self._in_message = False
        self._body_left = 0
        """Bytes that are still to come of a body whose length the header tells."""

    def parse(self, piece: bytes) -> bool:
        """Parse a piece; return whether more may be parsed.

        Raises:
            httptools.HttpParserUpgrade: the header is complete, and asks for another protocol.
        """
        raise NotImplementedError

    def data_received(self, data: bytes) -> None:
        """Parse what has come, or keep it, and then read no more."""
        self._unparsed += data
        self._parse_more()

    def on_response_complete(self) -> None:
        """Begin the next request, or wait for it."""
        super().on_response_complete()
        self._parse_more()

    def _parse_more(self) -> None:
        while self._unparsed and not self.pipeline and not self.transport.is_closing():
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
