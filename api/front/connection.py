"""A client's connection: uvicorn's, with limits to what a client may hold, and for how long.

uvicorn limits the time of idle connections only. Here, whatever a client does has a limit: sending
nothing, half a header, a body that nobody reads any more, or not reading its reply.

A request may be answered before its body was read: the key is wrong, the body too large. The rest
is then discarded, within limits, and the connection is kept. If it has to be closed, only the
sending side is (RFC 9112, section 9.6): a reset would make the client's kernel discard the reply.
"""

import select
import time
from http import HTTPStatus
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from api.front.crowd import surplus_of
from api.front.exchange import LINGER_BYTES, Exchange
from api.front.messages import error_message
from api.front.parsing import ParsingProtocol
from shared.settings import get_settings

IDLE_S = 75.0
"""How long a connection is kept without a request, as nginx's ``keepalive_timeout``."""
HEADER_S = 10.0
"""How long the header of a request may take, from its first byte on."""
SEND_S = 30.0
"""How long data may wait for the client to read without a moment in which all was read."""
LINGER_S = 30.0
"""How long the rest of a refused body is discarded, as nginx's ``lingering_time``."""
BRIEF_LINGER_S = 2.0
"""The same where it is unlikely that more comes, or the process has to end."""
MAX_URL, MAX_HEADER, MAX_FIELDS = 8 * 1024, 64 * 1024, 100
"""Bytes of a request's URL, of the whole header, and the number of its fields."""
_HEADER_TOO_LARGE = (
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    "The request's header is too large.",
)


class Connection(ParsingProtocol):
    """One connection; everything runs in the event loop's thread."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as the base class
        super().__init__(*args, **kwargs)
        self.gone = self.loop.create_future()
        """Has a result when the client has closed its side."""
        self.arrived = 0.0
        """When the first byte of the latest request came, in seconds since the epoch."""
        self.since = self._until = self.loop.time()
        self._unsent_since: float | None = None
        self._is_lingering = self._is_stopping = False
        self.is_malformed = False
        """Whether what has come is not HTTP."""
        self._discarded = 0
        self._field_bytes = 0
        """Bytes of pieces that had only a part of the fields of a header or a trailer."""
        self._refusal: tuple[HTTPStatus, str] | None = None
        self.url = b""  # uvicorn sets it when a request begins

    @property
    def is_busy(self) -> bool:
        """Whether a request is under way."""
        cycle: RequestResponseCycle | None = self.cycle  # there is none at first
        return cycle is not None and not cycle.response_complete

    @property
    def is_receiving(self) -> bool:
        """Whether a request is under way of whose body more is to come."""
        return self.is_busy and self._in_message and not (self._in_header or self.pipeline)

    @property
    def is_idle(self) -> bool:
        """Whether no part of a request has come."""
        return not (self.is_busy or self._in_message)

    def check(self) -> None:
        """End the connection if the client takes too long; to be called each second at least."""
        now = self.loop.time()
        if not self.transport.get_write_buffer_size():
            self._unsent_since = None
        elif self._unsent_since is None:
            self._unsent_since = now
        elif now - self._unsent_since > SEND_S:
            self.transport.abort()
            return
        if self.is_busy:
            # While reading is paused, the end of what the client sends would not be seen. What is
            # parsed in turns will be soon, and may be the rest of the request.
            is_unseen = self.flow.read_paused and self._catching_up is None
            if is_unseen and not self.gone.done() and self._has_closed():
                self._note_end()
        elif now >= self._until:
            if self._in_header and not self._is_lingering:
                late = "The request's header did not arrive."
                self.transport.write(error_message(HTTPStatus.REQUEST_TIMEOUT, late, self.url))
                self.end(brief=True)
            else:
                self.transport.close()

    def end(self, *, brief: bool = False) -> None:
        """Close the connection, at once if nothing of a request is on its way any more."""
        if not self._in_message or self.gone.done():
            self.transport.close()
            return
        self._is_lingering = True
        self._discard(len(self._unparsed))
        self._unparsed.clear()
        self._wait(BRIEF_LINGER_S if brief or self._is_stopping else LINGER_S)
        self.flow.resume_reading()
        self.transport.write_eof()

    def _wait(self, seconds: float) -> None:
        """Have the client go on until then, unless a request is under way."""
        self.since = self.loop.time()
        self._until = self.since + seconds

    def _has_closed(self) -> bool:
        poller = select.poll()
        poller.register(self.transport.get_extra_info("socket").fileno(), select.POLLRDHUP)
        return bool(poller.poll(0))

    def _note_end(self) -> None:
        if not self.gone.done():
            self.gone.set_result(None)
        if self.is_busy:
            self.cycle.keep_alive = False
            self.cycle.message_event.set()

    def _discard(self, count: int) -> None:
        self._discarded += count
        if self._discarded > LINGER_BYTES:
            self.transport.abort()

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        """Answer what is no request, or answer nothing if another one is under way."""
        self.is_malformed = True
        if self.is_busy:
            self.cycle.keep_alive = False
            self.cycle.message_event.set()
            return
        if not self._is_lingering and not self.transport.is_closing():
            if self._in_header or not self._in_message:  # else the request has had its reply
                self.transport.write(error_message(status, message, self.url))
            self.end()

    # What asyncio calls.

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - as the base class
        """Begin, and end another connection if there are too many."""
        super().connection_made(transport)
        self._wait(IDLE_S)
        if len(self.connections) > get_settings().max_connections:
            ours = cast("set[Connection]", self.connections)
            (surplus_of(ours) or self).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        super().connection_lost(exc)
        self._note_end()

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio looks at the result
        """Keep the sending side for a reply that is under way."""
        self._note_end()
        return self.is_busy

    def data_received(self, data: bytes) -> None:
        """Parse what has come, or discard it."""
        if self._is_lingering or self.is_malformed:
            self._discard(len(data))
        else:
            super().data_received(data)

    # What the parser is given, and what it calls. What is raised in a call, it raises as its own.

    def parse(self, piece: bytes) -> bool:
        """Parse a piece; return whether more may be parsed."""
        self._unset_keepalive_if_required()
        self._field_bytes += len(piece)  # what the parser calls may set it to 0
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            raise
        except httptools.HttpParserError:
            self._refuse(*(self._refusal or (HTTPStatus.BAD_REQUEST, "This is not HTTP/1.1.")))
        if self._in_message and self._field_bytes > MAX_HEADER:
            self._refuse(*_HEADER_TOO_LARGE)
        return not (self._is_lingering or self.is_malformed)

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self.arrived = time.time()
        self._in_header = self._in_message = True
        self._field_bytes = self._discarded = 0
        self._wait(HEADER_S)

    def on_url(self, url: bytes) -> None:
        """Take a part of the URL."""
        super().on_url(url)
        if len(self.url) > MAX_URL:
            self._fail(HTTPStatus.REQUEST_URI_TOO_LONG, "The URL is too long.")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field of the header, but none of a trailer, which no proxy has checked.

        Blanks around a value are no part of it (RFC 9110, 5.5).
        """
        if not self._in_header:
            self._parts += 1
            return
        super().on_header(name, value.strip(b" \t"))
        if len(self.headers) > MAX_FIELDS:
            self._fail(*_HEADER_TOO_LARGE)

    def on_headers_complete(self) -> None:
        """Have the request answered."""
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                self._fail(HTTPStatus.METHOD_NOT_ALLOWED, "This is not a proxy.")
            return
        if sum(len(name) + len(value) for name, value in self.headers) > MAX_HEADER:
            self._fail(*_HEADER_TOO_LARGE)
        super().on_headers_complete()
        self._in_header, self._field_bytes = False, 0
        exchange = Exchange(self, self.cycle)
        self.scope["state"]["exchange"] = exchange
        self._body_left = exchange.length if exchange.has_length else 0

    def on_body(self, body: bytes) -> None:
        """Take a part of a body, or discard it if the reply has been sent."""
        self._parts += 1
        self._body_left -= len(body)
        self._field_bytes = 0
        if self.cycle.response_complete:
            self._discard(len(body))
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that the request is complete."""
        if self.parser.should_upgrade():
            return
        self._in_message, self._field_bytes = False, 0
        self._wait(IDLE_S)
        super().on_message_complete()

    def _fail(self, status: HTTPStatus, message: str) -> None:
        self._refusal = status, message
        raise ValueError(message)

    # What the server and the cycle of a request call.

    def on_response_complete(self) -> None:
        """Begin the next request, or wait for it."""
        if self._is_lingering:
            return
        self._wait(LINGER_S if self._in_message else IDLE_S)
        super().on_response_complete()

    def shutdown(self) -> None:
        """Close the connection after its reply, if one is under way."""
        self._is_stopping = True
        super().shutdown()
