"""Connections are checked while clients go away."""

import asyncio
import contextlib
from typing import Any

from uvicorn import Config
from uvicorn.server import ServerState

from api.front.connection import Connection

LARGE_BODY = 8 * 2**20
"""Bytes; so many that nobody reads have reading paused."""


class Watched(Connection):
    """Tells when it reads no more."""

    is_paused: asyncio.Event

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.flow.read_paused:
            self.is_paused.set()


async def never_answer(scope: Any, receive: Any, send: Any) -> None:
    del scope, receive, send
    await asyncio.Event().wait()


async def check_a_lost_one() -> None:
    config = Config(never_answer, lifespan="off", interface="asgi3", log_config=None)
    config.load()
    loop, state = asyncio.get_running_loop(), ServerState()
    connection = Watched(config, state, {}, loop)
    connection.is_paused = asyncio.Event()
    server = await loop.create_server(lambda: connection, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {LARGE_BODY}\r\n\r\n"
    writer.write(head.encode() + bytes(LARGE_BODY))
    await connection.is_paused.wait()
    connection.transport.abort()
    with contextlib.suppress(ConnectionError):
        await reader.read()
    await connection.gone
    connection.check()
    writer.close()
    server.close()


def test_a_connection_may_be_lost_before_it_is_checked() -> None:
    asyncio.run(asyncio.wait_for(check_a_lost_one(), 20))
