"""Answers requests: waits for their bodies in the event loop, and has Flask answer in threads."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from http import HTTPStatus
from typing import Any

import structlog
from flask import Flask
from werkzeug.exceptions import HTTPException

from api.front.body import read_body
from api.front.crowd import client_of
from api.front.environ import Environ, make_environ, set_body
from api.front.exchange import Exchange
from api.front.messages import error_body
from api.front.received import ReceivedBody
from api.front.triage import Needs, triage
from api.front.turns import Turns
from api.front.wsgi import OneThread, Threads, WsgiCall
from api.http.client_connection import (
    ARRIVED,
    CLIENT,
    IS_UNREAD,
    REFUSAL,
    ClientGone,
    hold_nothing,
)
from api.http.request_id import MAX_BODY_BYTES
from api.limits.body_memory import BodyMemory, Share, bytes_for_bodies
from api.limits.waiting_room import Place, WaitingRoom
from shared.errors import Overloaded, VisionError
from shared.settings import SPARE_THREADS, Settings
from shared.units import MEGA
from shared.vocabulary import Priority

log = structlog.get_logger(__name__)

SMALL_BODY_S = 1.0
"""How long a small body may take that is read only for its ``id``: its sender may have no key."""
MAX_SMALL_BODY = 16 * 1024
"""Bytes of a small body that is needed: as many are held for each connection."""
STOPPING_BODY_S = 3.0
"""How long bodies may go on coming when the process has to end: what it has read is answered."""
MAX_IN_SPARE = 8 * SPARE_THREADS
"""Requests that have or await one of the threads that are not for request slots."""
_FIRST = asyncio.FIRST_COMPLETED


class Front:
    """The ASGI application around the Flask application."""

    def __init__(
        self, app: Flask, settings: Settings, rooms: Mapping[Priority, WaitingRoom]
    ) -> None:
        self._app, self._settings, self._rooms = app, settings, rooms
        self._max_bytes = int(settings.max_body_mb * MEGA)
        self._memory = BodyMemory(bytes_for_bodies(settings))
        self._slots = {each: Threads(settings.threads, each) for each in rooms}
        self._spare = Threads(SPARE_THREADS, "spare")
        self._file = OneThread("file")
        self._hang_ups = ThreadPoolExecutor(1, "hang-up")
        self._in_spare = 0
        self._turns = Turns()
        self._reading: set[asyncio.Timeout] = set()
        self._is_stopping = False

    def stop(self) -> None:
        """Wait for no body much longer; harmless when done again."""
        if not self._is_stopping:
            self._is_stopping = True
            end = asyncio.get_running_loop().time() + STOPPING_BODY_S
            for limit in self._reading:
                limit.reschedule(end)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - as ASGI has it
        """Answer a request."""
        del receive, send  # the exchange has both
        exchange: Exchange = scope["state"]["exchange"]
        environ = make_environ(scope)
        environ[CLIENT], environ[ARRIVED] = exchange, exchange.arrived
        if exchange.has_body:
            environ[IS_UNREAD] = True
        needs, refusal, priority = triage(self._app, self._settings, environ)
        try:
            await self._turns.take(_line_of(environ, needs))
            if needs is Needs.SLOT:
                await self._answer_in_slot(exchange, environ, priority)
            elif needs is Needs.FILE:
                await self._read_small(exchange, environ)
                await self._reply(exchange, environ, self._file)
            elif needs is Needs.SMALL_BODY:
                await self._answer_with_small_body(exchange, environ)
            elif needs is Needs.THREAD:
                await self._answer_in_spare_thread(exchange, environ)
            else:
                await self._answer_here(exchange, environ, refusal)
        except Exception:
            log.exception("unexpected error in front of Flask")
            await _send_error(exchange, scope["raw_path"])

    async def _answer_in_slot(
        self, exchange: Exchange, environ: Environ, priority: Priority
    ) -> None:
        """Read the body, wait for a slot, and have the application answer.

        A slot is taken when the body is there, so that no slow client holds one.
        """
        address, room = client_of(environ["REMOTE_ADDR"]), self._rooms[priority]
        share, place = Share(address, priority), None

        def wake_waiter(_: object) -> None:
            self._hang_ups.submit(exchange.when_gone)

        exchange.gone.add_done_callback(wake_waiter)
        try:
            if room.is_full:
                raise room.refusal()
            set_body(environ, await self._read(exchange, environ, share, room))
            exchange.hold = self._holder(exchange, share, room)
            place = room.enter(address)
            await self._wait_for(place.granted, exchange, room)
            release = self._release(share, room, place)
            await self._reply(exchange, environ, self._slots[priority], release)
        except (VisionError, HTTPException, ClientGone) as refusal:
            self._release(share, room, place)()
            await self._answer_here(exchange, environ, refusal)
        finally:
            exchange.hold = hold_nothing  # else each would keep the other
            exchange.gone.remove_done_callback(wake_waiter)
            self._release(share, room, place)()

    def _release(self, share: Share, room: WaitingRoom, place: Place | None) -> Callable[[], None]:
        """Return what gives back the memory and the slot of a request."""

        def release() -> None:
            self._memory.give_back(share)
            if place is not None:
                room.leave(place)

        return release

    def _holder(
        self, exchange: Exchange, share: Share, room: WaitingRoom
    ) -> Callable[[int], object]:
        """Return what holds memory for more than the body of a request, for its threads."""
        loop, body = asyncio.get_running_loop(), share.size

        async def hold(size: int) -> None:
            if share.is_given_back:  # a fetch that nobody waits for any more
                raise ClientGone
            await self._wait_for(self._memory.want(share, size), exchange, room)

        return lambda more: asyncio.run_coroutine_threadsafe(hold(body + more), loop).result()

    async def _answer_with_small_body(self, exchange: Exchange, environ: Environ) -> None:
        """Read a small body, which takes no thread, and have the application answer."""
        try:
            set_body(environ, await self._receive(exchange, MAX_SMALL_BODY, _hold_nothing))
        except (VisionError, HTTPException, ClientGone) as refusal:
            await self._answer_here(exchange, environ, refusal)
        else:
            await self._answer_in_spare_thread(exchange, environ)

    async def _answer_in_spare_thread(self, exchange: Exchange, environ: Environ) -> None:
        await self._read_small(exchange, environ)
        if self._in_spare >= MAX_IN_SPARE:
            busy = Overloaded("Too many requests are under way here. Try again soon.")
            await self._answer_here(exchange, environ, busy)
            return
        async with aclosing(WsgiCall(self._app, environ, self._spare)) as call:
            self._in_spare += 1  # not sooner or later: a client that is slow keeps nobody out
            try:
                part = await call.step()
            finally:
                self._in_spare -= 1
            await self._send(exchange, call, part)

    async def _answer_here(
        self, exchange: Exchange, environ: Environ, refusal: Exception | None
    ) -> None:
        """Have the application refuse the request, or answer it without waiting."""
        if refusal is not None:
            environ[REFUSAL] = refusal
        if exchange.is_read and IS_UNREAD in environ:  # a part was read, and the rest is not
            exchange.close_after_reply()
        await self._read_small(exchange, environ)
        await self._reply(exchange, environ, None)

    async def _wait_for(
        self, granted: "asyncio.Future[None]", exchange: Exchange, room: WaitingRoom
    ) -> None:
        """Wait until a slot or memory is granted.

        Raises:
            ClientGone: the client has closed the connection.
            Overloaded: it was not granted in time, or others need it more.
        """
        if not granted.done():
            wait_s = min(self._settings.slot_wait_s, self._left_s(exchange))
            await asyncio.wait({granted, exchange.gone}, timeout=wait_s, return_when=_FIRST)
            if exchange.is_gone:
                raise ClientGone
        if not granted.done():
            raise room.refusal()
        granted.result()

    async def _read(
        self, exchange: Exchange, environ: Environ, share: Share, room: WaitingRoom
    ) -> ReceivedBody:
        async def hold(size: int) -> None:
            await self._wait_for(self._memory.want(share, size), exchange, room)

        body = await self._receive(exchange, self._max_bytes, hold)
        if "HTTP_CONTENT_ENCODING" in environ:
            await hold(self._max_bytes)  # so large it may become
        return body

    async def _receive(
        self, exchange: Exchange, max_bytes: int, hold: Callable[[int], Awaitable[None]]
    ) -> ReceivedBody:
        """Return the whole body, in the time that a request has for it.

        Raises:
            Overloaded: the service stops.
            VisionError, HTTPException, ClientGone: as :func:`read_body`.
        """
        within_s = min(self._settings.body_timeout_s, self._left_s(exchange))
        limit = asyncio.timeout(STOPPING_BODY_S if self._is_stopping else None)
        self._reading.add(limit)
        try:
            async with limit:
                return await read_body(exchange, within_s, max_bytes, hold)
        except TimeoutError as err:
            raise Overloaded(
                "The service is stopping, and the request's body did not arrive."
            ) from err
        finally:
            self._reading.discard(limit)

    def _left_s(self, exchange: Exchange) -> float:
        return max(0.0, exchange.arrived + self._settings.timeout - time.time())

    async def _read_small(self, exchange: Exchange, environ: Environ) -> None:
        """Read the body of a request that needs none, for the ``id`` in it."""
        small = exchange.has_length and exchange.length <= MAX_BODY_BYTES
        if small and exchange.has_body and not exchange.is_read:
            try:
                body = await read_body(exchange, SMALL_BODY_S, MAX_BODY_BYTES, _hold_nothing)
            except (HTTPException, ClientGone):
                exchange.close_after_reply()
            else:
                set_body(environ, body)

    async def _reply(
        self,
        exchange: Exchange,
        environ: Environ,
        threads: Threads | None,
        release: Callable[[], None] = lambda: None,
    ) -> None:
        """Have the application answer, and send its reply as fast as the client reads it.

        Args:
            exchange: the request.
            environ: the request, too.
            threads: where the application runs; ``None``: here.
            release: is called when the application has made the reply.
        """
        async with aclosing(WsgiCall(self._app, environ, threads)) as call:
            part = await call.step()
            if call.is_done:
                release()  # a client that is slow to read holds nothing
            await self._send(exchange, call, part)

    async def _send(self, exchange: Exchange, call: WsgiCall, part: bytes) -> None:
        """Send a reply whose first part is made, and have the others made as the client reads."""
        if call.threads is not None:  # they may have made several replies since the last pass
            await self._turns.take(client_of(call.environ["REMOTE_ADDR"]))
        await exchange.send_head(call.status, call.headers, has_length=call.has_length)
        while not call.is_done and not exchange.is_lost:
            await exchange.send_part(part, more=True)
            await self._turns.take(client_of(call.environ["REMOTE_ADDR"]))
            part = await call.step()
        if call.is_done:
            await exchange.send_part(part, more=False)


async def _send_error(exchange: Exchange, url: bytes) -> None:
    """Answer when neither Flask nor what is around it could."""
    if exchange.has_started:
        exchange.abort()
        return
    message = "Internal error. See the service's log."
    body = error_body(HTTPStatus.INTERNAL_SERVER_ERROR, message, url)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    exchange.close_after_reply()
    await exchange.send_head(HTTPStatus.INTERNAL_SERVER_ERROR, headers, has_length=True)
    await exchange.send_part(body, more=False)


def _line_of(environ: Environ, needs: Needs) -> Hashable:
    """Return in which line a request waits for its turn; signs of life have one of their own."""
    return client_of(environ["REMOTE_ADDR"]), needs is Needs.NOTHING


async def _hold_nothing(_: int) -> None:
    """Count nothing for a small body."""
