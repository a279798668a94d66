"""One request to Ollama's servers: the best one is asked, and when it fails, the next best."""

import asyncio
import time
from collections.abc import Callable, Collection

import structlog

from shared.errors import BadRequest, OllamaFailed
from shared.messages import JsonObject
from workers.remote.client import HostDown, HostError, HostStalled, OnLine
from workers.remote.healer import Healer
from workers.remote.pool import Pool
from workers.remote.server import Host, full_name

log = structlog.get_logger(__name__)

RETRY_S = 0.3
GLANCE_S = 0.5
TRIES_MORE = 2
"""Failures of one request beyond one on each server."""
FIRST_REST_S = 5.0
"""How long a model that failed on a server is left alone there, if another has it."""


class Asker:
    """Asks the servers of a pool; lives in its event loop."""

    def __init__(self, pool: Pool, healer: Healer, stall_s: float) -> None:
        """Prepare; ``stall_s`` is the silence after which another server is worth a try."""
        self._pool, self._healer, self._stall_s = pool, healer, stall_s

    async def ask(
        self,
        path: str,
        body: JsonObject,
        begun: Callable[[], object],
        on_line: OnLine | None = None,
    ) -> JsonObject:
        """Have a server generate.

        Args:
            path: ``/api/generate`` or ``/api/chat``.
            body: the request.
            begun: called when a server gets it.
            on_line: gets each part of the reply; once it has one, the request cannot move.

        Raises:
            NotOffered, ModelUnavailable: as :meth:`Pool.acquire`.
            BadRequest: Ollama finds the request at fault.
            OllamaFailed: all failed.
        """
        model = full_name(str(body["model"]))
        call = _Call(on_line)
        tried: list[Host] = []
        while True:
            host = await self._pool.acquire(model, tried)
            begun()
            host.remember(model, body)
            since = host.crowd.moment()
            try:
                reply = await self._unless_stalled(host, path, body, call, tried)
            except HostError as err:
                tried.append(host)
                log.warning(
                    "ollama failed",
                    server=host.name,
                    model=model,
                    error=err.message,
                    tries=len(tried),
                )
                await self._judge(host, model, err)
                if call.passed_on or len(tried) >= len(self._pool.hosts) + TRIES_MORE:
                    raise OllamaFailed(f"{model} on {host.name}: {err.message}") from err
            else:
                host.answered(model)
                self._healer.consider(host, model, reply, host.crowd.since(since))
                return reply
            finally:
                await self._pool.release(host, model)
            await asyncio.sleep(RETRY_S if host in tried[:-1] else 0)

    async def show(self, model: str, body: JsonObject) -> JsonObject:
        """Return what a server tells of a model.

        Raises:
            NotOffered, ModelUnavailable, OllamaFailed: as :meth:`ask`.
        """
        error = HostError("no server")
        for host in self._pool.having(full_name(model)):
            try:
                return await host.client.post("/api/show", {**body, "model": model})
            except HostError as err:
                error = err
        raise OllamaFailed(f"{model}: {error.message}")

    async def _unless_stalled(
        self, host: Host, path: str, body: JsonObject, call: "_Call", tried: Collection[Host]
    ) -> JsonObject:
        """Ask one server, but give up on its silence where another one is still to be tried.

        Where none is, it may be loading for long: asked anew it would begin again.

        Raises:
            HostError: the server failed, or is silent.
        """
        model, others = full_name(str(body["model"])), (*tried, host)
        call.heard_at = time.monotonic()
        asking = asyncio.create_task(host.client.ask(path, body, call.hear))
        try:
            while True:
                silent_s = time.monotonic() - call.heard_at
                may_move = not call.passed_on and self._pool.is_hope(model, others)
                if silent_s >= self._stall_s and may_move:
                    raise HostStalled(f"Silent for {silent_s:.0f} s.")
                await asyncio.wait({asking}, timeout=max(GLANCE_S, self._stall_s - silent_s))
                if asking.done():
                    return asking.result()
        finally:
            asking.cancel()
            await asyncio.wait({asking})

    async def _judge(self, host: Host, model: str, err: HostError) -> None:
        """Draw the conclusion from a failure: about the request, the server, or its models.

        Raises:
            BadRequest: the request is to blame.
        """
        if err.status == 400:
            raise BadRequest(f"Ollama refuses the request: {err.message}") from err
        if err.status == 404:
            host.tags = [tag for tag in host.tags if full_name(str(tag.get("name"))) != model]
            await self._pool.tell()
        elif isinstance(err, HostDown) or err.status in (401, 403):
            await self._pool.mark(host, err.message)
        else:
            # Each silence costs a request so much time: let fewer of them pay.
            stalled = isinstance(err, HostStalled)
            host.failed(model, max(FIRST_REST_S, self._stall_s) if stalled else FIRST_REST_S)


class _Call:
    """What has been heard of a reply."""

    def __init__(self, on_line: OnLine | None) -> None:
        self._on_line = on_line
        self.passed_on = False
        self.heard_at = time.monotonic()

    async def hear(self, line: JsonObject) -> None:
        """Take a part of the reply."""
        self.heard_at = time.monotonic()
        if self._on_line:
            self.passed_on = True
            await self._on_line(line)
