"""Bodies of very many chunks are parsed in turns, and everything else stays as it is."""

import asyncio
from collections.abc import Callable, Coroutine
from itertools import pairwise
from typing import Any

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from api.front.body import read_body
from api.front.connection import Connection
from api.front.exchange import Exchange
from api.front.parsing import BODY_PIECE, MANY_PARTS

CHUNK = b"1\r\na\r\n"
HEAD = b"POST /first HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
NEXT = b"POST /next HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nend"
FIELD = b"a:\r\n"
LAST_CHUNK = b"0\r\n\r\n"
COUNT = 10_000
MOST_AT_ONCE = MANY_PARTS + BODY_PIECE // len(CHUNK) + 1


class Line(asyncio.Transport):
    """A transport that keeps what is written, and tells whether it would read."""

    def __init__(self, peer: str = "192.0.2.1") -> None:
        super().__init__({"peername": (peer, 1), "sockname": ("192.0.2.9", 80)})
        self.written = bytearray()
        self.reads, self.has_ended, self.closing = True, False, False

    def write(self, data: Any) -> None:
        self.written += data

    def write_eof(self) -> None:
        self.has_ended = True

    def lingers(self) -> bool:
        return self.has_ended and self.reads

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    abort = close

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True


class Counted(Connection):
    """Counts the parts of bodies, and the fields behind them."""

    parts = 0
    has_closed = False
    """Whether the client has closed its side."""

    def _has_closed(self) -> bool:
        return self.has_closed

    def on_header(self, name: bytes, value: bytes) -> None:
        self.parts += not self._in_header
        super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        self.parts += 1
        super().on_body(body)


async def hold_nothing(_: int) -> None:
    """Count nothing."""


async def reply(exchange: Exchange, body: bytes) -> None:
    await exchange.send_head(200, [(b"content-length", b"%d" % len(body))], has_length=True)
    await exchange.send_part(body, more=False)


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Reply with the path and the body."""
    del receive, send
    exchange: Exchange = scope["state"]["exchange"]
    body = await read_body(exchange, 20, COUNT, hold_nothing)
    await reply(exchange, scope["raw_path"] + b" " + body.read())


async def refuse(scope: Any, receive: Any, send: Any) -> None:
    """Reply before the body is read."""
    del receive, send
    await reply(scope["state"]["exchange"], b"refused " + scope["raw_path"])


async def refuse_and_close(scope: Any, receive: Any, send: Any) -> None:
    """Reply before the body is read, and keep no connection."""
    scope["state"]["exchange"].close_after_reply()
    await refuse(scope, receive, send)


def connections(app: Any, peers: list[str]) -> list[Counted]:
    """Begin connections of one server, from these addresses."""
    config = Config(app, lifespan="off", interface="asgi3", log_config=None)
    config.load()
    state, shared = ServerState(), dict[str, Any]()
    made = [Counted(config, state, shared, asyncio.get_running_loop()) for _ in peers]
    for connection, peer in zip(made, peers, strict=True):
        connection.connection_made(Line(peer))
    return made


def line_of(connection: Counted) -> Line:
    assert isinstance(connection.transport, Line)
    return connection.transport


async def passes_until(condition: Callable[[], bool], look: Callable[[], None]) -> None:
    """Let the loop go on until something is true, and look at each pass."""
    for _ in range(20 * COUNT):
        if condition():
            return
        await asyncio.sleep(0)
        look()
    pytest.fail("it never came")


async def one_turn_at_each_pass() -> None:
    crowd = connections(echo, ["192.0.2.1"] * 20)
    for connection in crowd:
        connection.data_received(HEAD + CHUNK * COUNT + LAST_CHUNK)
        assert connection.parts <= MOST_AT_ONCE
    seen = [sum(connection.parts for connection in crowd)]
    await passes_until(
        lambda: all(b"/first " + b"a" * COUNT in line_of(one).written for one in crowd),
        lambda: seen.append(sum(connection.parts for connection in crowd)),
    )
    assert seen[-1] == COUNT * len(crowd)
    assert max(after - before for before, after in pairwise(seen)) <= MOST_AT_ONCE


async def fields_behind_a_body_are_parsed_in_turns() -> None:
    (connection,) = connections(echo, ["192.0.2.1"])
    connection.data_received(HEAD + CHUNK + b"0\r\n" + FIELD * COUNT + b"\r\n" + NEXT)
    seen = [0, connection.parts]
    await passes_until(
        lambda: b"/next end" in line_of(connection).written, lambda: seen.append(connection.parts)
    )
    assert seen[-1] == 1 + COUNT + 1
    most = MANY_PARTS + BODY_PIECE // len(FIELD) + 1
    assert max(after - before for before, after in pairwise(seen)) <= most


async def a_crowd_keeps_nobody_else_waiting() -> None:
    *crowd, other = connections(echo, ["192.0.2.1"] * 20 + ["192.0.2.2"])
    for connection in (*crowd, other):
        connection.data_received(HEAD + CHUNK * COUNT + LAST_CHUNK)
    await passes_until(lambda: other.parts == COUNT, lambda: None)
    assert sum(connection.parts for connection in crowd) < 2 * COUNT + 20 * MOST_AT_ONCE


async def nothing_is_read_meanwhile() -> None:
    (connection,) = connections(echo, ["192.0.2.1"])
    connection.data_received(HEAD + CHUNK * COUNT)
    seen = list[bool]()
    await passes_until(
        lambda: connection.parts == COUNT, lambda: seen.append(line_of(connection).reads)
    )
    assert seen
    assert not any(seen[:-1])
    await passes_until(lambda: line_of(connection).reads, lambda: None)
    connection.data_received(LAST_CHUNK)
    await passes_until(lambda: b"/first " in line_of(connection).written, lambda: None)
    assert line_of(connection).reads


async def what_nobody_reads_stays_in_the_socket() -> None:
    async def never(scope: Any, receive: Any, send: Any) -> None:
        del scope, receive, send
        await asyncio.Event().wait()

    (connection,) = connections(never, ["192.0.2.1"])
    count = 3 * 65536  # more than uvicorn keeps of a body before it reads on
    connection.data_received(HEAD + CHUNK * count)
    await passes_until(lambda: connection.parts == count, lambda: None)
    await asyncio.sleep(0)
    assert not line_of(connection).reads


async def the_next_request_is_answered_after_it() -> None:
    (connection,) = connections(echo, ["192.0.2.1"])
    connection.data_received(HEAD + CHUNK * COUNT + LAST_CHUNK + NEXT)
    written = line_of(connection).written
    await passes_until(lambda: b"/next end" in written, lambda: None)
    assert written.index(b"/first " + b"a" * COUNT) < written.index(b"/next end")
    assert written.count(b"HTTP/1.1 200 ") == 2
    assert line_of(connection).reads
    assert connection.is_idle


async def the_rest_of_a_refused_body_is_discarded() -> None:
    (connection,) = connections(refuse, ["192.0.2.1"])
    connection.data_received(HEAD + CHUNK * COUNT + LAST_CHUNK + NEXT)
    written = line_of(connection).written
    await passes_until(lambda: b"refused /next" in written, lambda: None)
    assert written.count(b"HTTP/1.1 200 ") == 2
    assert connection.parts == COUNT + 1
    assert line_of(connection).reads


async def a_closed_connection_begins_nothing_more() -> None:
    for count in (1000, COUNT):  # the next request is in the next piece, or later
        (connection,) = connections(refuse_and_close, ["192.0.2.1"])
        connection.data_received(HEAD + CHUNK * count + LAST_CHUNK + NEXT)
        line = line_of(connection)
        await passes_until(line.lingers, lambda: None)
        connection.data_received(CHUNK)
        await asyncio.sleep(0.01)
        assert connection.parts < count
        assert line.written.count(b"HTTP/1.1 200 ") == 1
        assert not connection.is_busy
        assert not line.closing


async def a_client_may_close_its_side_behind_a_whole_body() -> None:
    (connection,) = connections(echo, ["192.0.2.1"])
    connection.data_received(HEAD + CHUNK * COUNT + LAST_CHUNK)
    connection.has_closed = True
    connection.check()
    written = line_of(connection).written
    await passes_until(lambda: b"/first " + b"a" * COUNT in written, lambda: None)


async def a_lost_connection_is_left_alone() -> None:
    (connection,) = connections(echo, ["192.0.2.1"])
    connection.data_received(HEAD + CHUNK * COUNT)
    catching_up = connection._catching_up
    assert catching_up
    connection.transport.abort()
    connection.connection_lost(None)
    await catching_up
    assert connection.parts < COUNT


async def what_is_malformed_is_refused() -> None:
    (connection,) = connections(echo, ["192.0.2.1"])
    connection.data_received(HEAD + CHUNK * COUNT + b"no chunk\r\n")
    await passes_until(lambda: connection.is_malformed, lambda: None)
    assert connection.parts == COUNT
    await passes_until(lambda: line_of(connection).reads, lambda: None)


@pytest.mark.parametrize(
    "scenario",
    [
        one_turn_at_each_pass,
        fields_behind_a_body_are_parsed_in_turns,
        a_crowd_keeps_nobody_else_waiting,
        nothing_is_read_meanwhile,
        what_nobody_reads_stays_in_the_socket,
        the_next_request_is_answered_after_it,
        the_rest_of_a_refused_body_is_discarded,
        a_closed_connection_begins_nothing_more,
        a_client_may_close_its_side_behind_a_whole_body,
        a_lost_connection_is_left_alone,
        what_is_malformed_is_refused,
    ],
    ids=lambda scenario: scenario.__name__,
)
def test_in_turns(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 60))
