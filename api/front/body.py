"""Reads a request's body into memory, within limits of time and size."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from werkzeug.exceptions import BadRequest, RequestTimeout

from api.front.received import ReceivedBody
from api.http.client_connection import ClientGone
from shared.errors import TooLarge

if TYPE_CHECKING:
    from api.front.exchange import Exchange

STALL_S = 20.0
"""How long a client may send nothing before its request is complete."""


async def read_body(
    exchange: "Exchange", within_s: float, max_bytes: int, hold: Callable[[int], Awaitable[None]]
) -> ReceivedBody:
    """Return the whole body.

    Args:
        exchange: the request.
        within_s: how long it may take.
        max_bytes: how large it may be.
        hold: waits until there is memory for so many bytes; called while they come.

    Raises:
        ClientGone: the client has closed the connection.
        BadRequest: the client has closed its side of it too early, or the chunks are malformed.
        RequestTimeout: the client sends nothing, or too slowly.
        TooLarge: the body is too large.
        Overloaded: there is no memory for it.
    """
    exchange.is_read = True
    body = ReceivedBody()
    loop = asyncio.get_running_loop()
    end = loop.time() + within_s
    more = True
    while more:
        try:
            async with asyncio.timeout_at(min(end, loop.time() + STALL_S)):
                message: Any = await exchange.receive()
        except TimeoutError as err:
            raise RequestTimeout("The request's body did not arrive.") from err
        if message["type"] == "http.disconnect":
            raise ClientGone
        body.add(message.get("body", b""))
        more = message.get("more_body", False)
        if more and exchange.is_malformed:
            raise BadRequest("The request's body is not in valid chunks.")
        if more and exchange.is_gone:
            raise BadRequest("The request's body ends before it is complete.")
        if body.size > max_bytes:
            raise TooLarge("The request body is too large.")
        await hold(body.size)
    return body
