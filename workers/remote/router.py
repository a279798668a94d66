"""Sends one request to the best Ollama server, and to the next best when that one fails."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from shared.errors import BadRequest, OllamaFailed
from shared.messages import JsonObject
from shared.vocabulary import OllamaCall, Priority
from workers.remote.client import OnPart
from workers.remote.config import full_name
from workers.remote.errors import MalformedReply, ServerDown, ServerError, ServerStalled
from workers.remote.healer import Healer
from workers.remote.pool import Pool
from workers.remote.server import Server

log = structlog.get_logger(__name__)

RETRY_S = 0.3
"""Pause before a server is tried again for the same request."""
STALL_POLL_S = 0.5
"""Shortest time between two checks whether a server has been silent for too long."""
EXTRA_ATTEMPTS = 2
"""Attempts of one request beyond one on each server."""
MAX_MALFORMED = 2
"""Attempts of one request that end with a malformed reply: its words may be what is malformed."""
FIRST_COOLDOWN_S = 5.0
"""How long a model that has failed on a server is avoided there, if another server has it."""


class FailoverRouter:
    """Routes requests to the servers of a pool; used in its event loop."""

    def __init__(self, pool: Pool, healer: Healer, stall_s: float) -> None:
        """Prepare; after ``stall_s`` seconds of silence a request moves to another server."""
        self._pool, self._healer, self._stall_s = pool, healer, stall_s

    async def generate(
        self,
        call: OllamaCall,
        body: JsonObject,
        on_begin: Callable[[], object],
        on_part: OnPart | None = None,
        priority: Priority = Priority.PERSON,
    ) -> JsonObject:
        """Have a server generate.

        Args:
            call: ``GENERATE`` or ``CHAT``.
            body: the request.
            on_begin: called each time that a server gets the request.
            on_part: receives each part of the reply; after the first, the request cannot move.
            priority: persons get a server before bulk work.

        Raises:
            NotOffered, ModelUnavailable: as :meth:`Pool.acquire`.
            BadRequest: Ollama rejects the request.
            OllamaFailed: every attempt failed.
        """
        request = _Request(call, body, on_part)
        while True:
            server = await self._pool.acquire(request.model, request.tried, priority)
            try:
                on_begin()
                server.remember_load_options(request.model, body)
                return await self._attempt(server, request)
            except ServerError as err:
                await self._handle_failure(server, request, err)
            finally:
                await self._pool.release(server, request.model)
            await asyncio.sleep(RETRY_S if server in request.tried[:-1] else 0)

    async def show(self, model: str, body: JsonObject) -> JsonObject:
        """Return a server's description of a model.

        Raises:
            NotOffered, ModelUnavailable, OllamaFailed: as :meth:`generate`.
        """
        error = ServerError("no server")
        for server in self._pool.servers_with(full_name(model)):
            try:
                named = {**body, "model": server.spelling(full_name(model))}
                return await server.client.show(named)
            except ServerError as err:
                error = err
        raise OllamaFailed(f"{model}: {error.message}")

    async def _attempt(self, server: Server, request: "_Request") -> JsonObject:
        mark = server.concurrency.mark()
        reply = await self._generate_on(server, request)
        server.end_cooldown(request.model)
        concurrency = server.concurrency.average_since(mark)
        self._healer.record(server, request.model, reply, concurrency)
        return reply

    async def _generate_on(self, server: Server, request: "_Request") -> JsonObject:
        """Have one server generate; give up on its silence where another has not been tried.

        Where there is none, the server may be loading the model, which a retry would start again.

        Raises:
            ServerError: the server failed, or is silent.
        """
        excluded = (*request.tried, server)
        request.heard_at = time.monotonic()
        body = {**request.body, "model": server.spelling(request.model)}
        reply = asyncio.create_task(server.client.generate(request.call, body, request.receive))
        try:
            while True:
                silent_s = time.monotonic() - request.heard_at
                has_alternative = self._pool.has_alternative(request.model, excluded)
                if silent_s >= self._stall_s and has_alternative and not request.is_passed_on:
                    raise ServerStalled(f"The server was silent for {silent_s:.0f} s.")
                await asyncio.wait({reply}, timeout=max(STALL_POLL_S, self._stall_s - silent_s))
                if reply.done():
                    return reply.result()
        finally:
            reply.cancel()
            await asyncio.wait({reply})

    async def _handle_failure(self, server: Server, request: "_Request", err: ServerError) -> None:
        """Record a failed attempt.

        Raises:
            BadRequest: the request is at fault.
            OllamaFailed: no further attempt is possible.
        """
        request.tried.append(server)
        attempts = len(request.tried)
        log.warning(
            "ollama request failed",
            server=server.name,
            model=request.model,
            error=err.message,
            attempts=attempts,
        )
        await self._attribute(server, request.model, err)
        request.malformed += isinstance(err, MalformedReply)
        is_last = attempts >= len(self._pool.servers) + EXTRA_ATTEMPTS
        if request.is_passed_on or is_last or request.malformed >= MAX_MALFORMED:
            raise OllamaFailed(f"{request.model} on {server.name}: {err.message}") from err

    async def _attribute(self, server: Server, model: str, err: ServerError) -> None:
        """Attribute a failure to the request, the server, or the model on it.

        Raises:
            BadRequest: the request is at fault.
        """
        if err.status == 404:
            await self._check_missing(server, model)
        elif isinstance(err, ServerDown) or err.status in (401, 403):
            await self._pool.set_state(server, err.message)
        elif err.is_about_request:
            raise BadRequest(f"Ollama rejects the request: {err.message}") from err
        else:
            # Each stall delays a request by that much: the cooldown is at least as long.
            stalled = isinstance(err, ServerStalled)
            first_s = max(FIRST_COOLDOWN_S, self._stall_s) if stalled else FIRST_COOLDOWN_S
            server.begin_cooldown(model, first_s)

    async def _check_missing(self, server: Server, model: str) -> None:
        """Ask a server that does not find a model whether it has been removed.

        If it is still listed, only this request failed: others must not find it gone.
        """
        try:
            await server.refresh()
        except ServerError as err:
            await self._pool.set_state(server, err.message)
            return
        if server.has(model):
            server.begin_cooldown(model, FIRST_COOLDOWN_S)
        await self._pool.notify()


@dataclass
class _Request:
    """A request, the servers that it was tried on, and what has arrived of its reply."""

    call: OllamaCall
    body: JsonObject
    on_part: OnPart | None
    tried: list[Server] = field(default_factory=list)
    malformed: int = 0
    """Number of attempts that ended with a malformed reply."""
    is_passed_on: bool = False
    """The client has a part of the reply, so that another server cannot start again."""
    heard_at: float = 0.0
    """When the latest part arrived, or the request was sent; on the monotonic clock."""

    @property
    def model(self) -> str:
        """The model's full name."""
        return full_name(str(self.body["model"]))

    async def receive(self, part: JsonObject) -> None:
        """Take a part of the reply, and pass it on if the reply is streamed."""
        self.heard_at = time.monotonic()
        if self.on_part:
            self.is_passed_on = True
            await self.on_part(part)
