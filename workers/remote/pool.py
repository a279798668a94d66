"""The Ollama servers: which of them are up, and which one gets the next request."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass

import structlog

from shared.errors import ModelUnavailable, NotOffered
from shared.vocabulary import Priority
from workers.remote.config import HealingOptions, ServerConfig
from workers.remote.errors import ServerError
from workers.remote.server import Server
from workers.turns import Turns

log = structlog.get_logger(__name__)


@dataclass(eq=False)
class _Waiting:
    """A request that waits for a server."""

    model: str
    tried: Collection[Server]
    priority: Priority


class Pool:
    """All servers; used in one event loop."""

    def __init__(
        self,
        configs: Sequence[ServerConfig],
        healing: HealingOptions,
        poll_s: float,
        grace_s: float,
    ) -> None:
        """Prepare.

        Args:
            configs: the servers.
            healing: when a model is slow.
            poll_s: pause between two polls of a server.
            grace_s: how long requests wait for a server to come back.
        """
        self.servers = [Server(config, healing) for config in configs]
        self._poll_s, self._grace_s = poll_s, grace_s
        self._changed = asyncio.Condition()
        self._waiting: list[_Waiting] = []
        self._turns = Turns()

    async def poll(self, after_each: Callable[[], Awaitable[None]]) -> None:
        """Poll all servers, each in a task of its own, until cancelled.

        ``after_each`` is called after each poll of a server.
        """
        async with asyncio.TaskGroup() as group:
            for server in self.servers:
                group.create_task(self._poll_server(server, after_each))

    async def _poll_server(self, server: Server, after_each: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await self._refresh(server)
                await after_each()
            except Exception:  # else it would end the watch of all servers
                log.exception("bug in the watch of an ollama server", server=server.name)
            await asyncio.sleep(self._poll_s)

    async def _refresh(self, server: Server) -> None:
        try:
            await server.refresh()
        except ServerError as err:
            await self.set_state(server, err.message)
        except Exception as err:
            log.exception("unexpected reply of an ollama server", server=server.name)
            await self.set_state(server, f"unexpected reply: {err!r}")
        else:
            await self.set_state(server, "")

    async def set_state(self, server: Server, error: str) -> None:
        """Record that a server is up, or down with an error."""
        up = not error
        if not server.polled or up != server.up:
            log.info("ollama server state", server=server.name, up=up, error=error)
        if up and not server.up:
            server.reset_faults()
        server.polled, server.up, server.error = True, up, error
        if up:
            server.last_up_at = time.monotonic()
        await self.notify()

    async def notify(self) -> None:
        """Wake all that wait for a change."""
        async with self._changed:
            self._changed.notify_all()

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait for a change that makes the condition true."""
        async with self._changed:
            await self._changed.wait_for(condition)

    async def acquire(
        self, model: str, tried: Collection[Server] = (), priority: Priority = Priority.PERSON
    ) -> Server:
        """Wait for the best server that has the model, and count a request on it.

        A server that becomes free is for persons first, and then for who has waited longest.

        Servers that were not tried for this request come first; among them, those on which the
        model is neither cooling down nor being reloaded. If all of these are busy, one of them is
        waited for. Of those that are free, the best is one on which the model is not degraded, then
        one that has it loaded, then the least busy.

        Raises:
            NotOffered: no server has the model; the message lists the models that there are.
            ModelUnavailable: all servers that have it have been down for the grace time.
        """
        waiting = _Waiting(model, tried, priority)
        async with self._changed:
            self._waiting.append(waiting)
            try:
                while not (best := self._server_for(waiting)):
                    # Polls go on and wake this up, also when nothing but time has changed.
                    await self._changed.wait()
                best.begin_request(model)
            finally:
                self._waiting.remove(waiting)
                self._changed.notify_all()  # the next one may be served by another server
            self._turns.taken([priority], {other.priority for other in self._waiting})
            return best

    def _server_for(self, waiting: _Waiting) -> Server | None:
        """Return the server that a request gets now; ``None``: none, or it is not its turn.

        Raises:
            NotOffered, ModelUnavailable: as :meth:`acquire`.
        """
        self._check(waiting.model)
        best = self._best(waiting.model, waiting.tried)
        return best if best and self._is_next(waiting) else None

    def _is_next(self, waiting: _Waiting) -> bool:
        """Return whether no request that could be served now is to be served before this one."""
        persons = [one for one in self._waiting if one.priority is Priority.PERSON]
        bulk = [one for one in self._waiting if one.priority is Priority.BULK]
        in_turn = self._turns.in_turn(persons, bulk)
        first = next(one for one in in_turn if self._best(one.model, one.tried))
        return first is waiting

    async def release(self, server: Server, model: str) -> None:
        """End the request of :meth:`acquire`."""
        server.end_request(model)
        await self.notify()

    def has_alternative(self, model: str, tried: Collection[Server]) -> bool:
        """Return whether a server that was not tried could run the request instead.

        It may be busy: with many requests, none would ever move if it had to be free.
        """
        return any(
            server.up and server.has(model) and model not in server.healing
            for server in self.servers
            if server not in tried
        )

    def servers_with(self, model: str) -> list[Server]:
        """Return the servers that are up and have the model.

        Raises:
            NotOffered, ModelUnavailable: as :meth:`acquire`.
        """
        self._check(model)
        return [server for server in self.servers if server.up and server.has(model)]

    @property
    def outage(self) -> str:
        """Why no request can be run; empty: a server is up, or was a moment ago."""
        if any(self._may_be_up(server) for server in self.servers):
            return ""
        return f"No Ollama server can be reached. {self.errors}"

    @property
    def errors(self) -> str:
        """What is wrong with each server."""
        return "; ".join(f"{server.name}: {server.error}" for server in self.servers)

    def _check(self, model: str) -> None:
        if reason := self.outage:
            raise ModelUnavailable(reason)
        having = [server for server in self.servers if server.has(model)]
        if having and not any(self._may_be_up(server) for server in having):
            names = ", ".join(server.name for server in having)
            raise ModelUnavailable(f"{model} is only on servers that are down: {names}")
        up = [server for server in self.servers if server.up]
        if not having and up and all(server.polled for server in self.servers):
            names_up = {str(entry.get("name")) for server in up for entry in server.installed}
            raise NotOffered(
                f"There is no model {model!r}, neither here nor on Ollama. "
                f"Ollama has: {', '.join(sorted(names_up)) or 'none'}."
            )

    def _may_be_up(self, server: Server) -> bool:
        return server.up or time.monotonic() - server.last_up_at < self._grace_s

    def _best(self, model: str, tried: Collection[Server]) -> Server | None:
        """Return the server for a request; ``None``: those that should run it are busy."""

        def drawbacks(server: Server) -> tuple[bool, bool]:
            return server in tried, server.is_cooling_down(model) or model in server.healing

        having = [server for server in self.servers if server.up and server.has(model)]
        fewest = min(map(drawbacks, having), default=None)
        free = [s for s in having if drawbacks(s) == fewest and _is_free(s, model)]
        return min(free, key=lambda server: _rank(server, model), default=None)


def _is_free(server: Server, model: str) -> bool:
    return model not in server.healing and server.running.total() < server.config.parallel


def _rank(server: Server, model: str) -> tuple[bool, bool, float]:
    return (
        model in server.degraded,
        server.gpu_share(model) is None,
        server.running.total() / server.config.parallel,
    )
