"""The Ollama servers: which are up, and who gets the next request."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence

import structlog

from shared.errors import ModelUnavailable, NotOffered
from workers.remote.client import HostError
from workers.remote.config import Healing, HostRow
from workers.remote.server import Host

log = structlog.get_logger(__name__)


class Pool:
    """All servers; lives in one event loop."""

    def __init__(
        self, rows: Sequence[HostRow], healing: Healing, poll_s: float, grace_s: float
    ) -> None:
        """Prepare.

        Args:
            rows: the servers.
            healing: what is slow.
            poll_s: pause between two looks at a server.
            grace_s: how long requests wait for servers when all are down.
        """
        self.hosts = [Host(row, healing) for row in rows]
        self._poll_s, self._grace_s = poll_s, grace_s
        self._changed = asyncio.Condition()

    async def watch(self, after_look: Callable[[], Awaitable[None]]) -> None:
        """Look at all servers for ever, each at its own pace; ``after_look`` is told each time."""
        async with asyncio.TaskGroup() as group:
            for host in self.hosts:
                group.create_task(self._watch(host, after_look))

    async def _watch(self, host: Host, after_look: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await host.look()
                await self.mark(host, "")
            except HostError as err:
                await self.mark(host, err.message)
            except Exception as err:
                log.exception("the server's answer was not understood", server=host.name)
                await self.mark(host, f"not understood: {err!r}")
            await after_look()
            await asyncio.sleep(self._poll_s)

    async def mark(self, host: Host, error: str) -> None:
        """Take note that a server is up, or down with an error."""
        up = not error
        if not host.asked or up != host.up:
            log.info("ollama server", server=host.name, up=up, error=error)
        if up and not host.up:
            host.renew()
        host.asked, host.up, host.error = True, up, error
        if up:
            host.up_at = time.monotonic()
        await self.tell()

    async def tell(self) -> None:
        """Wake those who wait for a server."""
        async with self._changed:
            self._changed.notify_all()

    async def wait_until(self, what: Callable[[], bool]) -> None:
        """Wait until a change makes ``what`` true."""
        async with self._changed:
            await self._changed.wait_for(what)

    async def acquire(self, model: str, tried: Collection[Host] = ()) -> Host:
        """Wait for the best server that has the model, and take one of its places.

        One that has been tried for this request, or fails lately, gets it only when no other has
        the model: it is worth waiting for a better one that is busy. Of equals, the best is not
        degraded, has the model loaded, and has the least to do.

        Raises:
            NotOffered: no server that can be reached has it; the message says what they have.
            ModelUnavailable: none can be reached, and none could be for a while.
        """
        async with self._changed:
            while True:
                self._check(model)
                if best := self._best(model, tried):
                    best.take(model)
                    return best
                # Looks at the servers go on and wake us, also when only time has passed.
                await self._changed.wait()

    async def release(self, host: Host, model: str) -> None:
        """Give a place back."""
        host.give_back(model)
        await self.tell()

    def is_hope(self, model: str, tried: Collection[Host]) -> bool:
        """Say whether a server that has not been tried could do the model's request instead.

        It may be busy: among many requests, one that waited for it to be free would never move.
        """
        return any(
            host.up and host.has(model) and model not in host.healing
            for host in self.hosts
            if host not in tried
        )

    def having(self, model: str) -> list[Host]:
        """Return the servers that are up and have the model.

        Raises:
            NotOffered, ModelUnavailable: as :meth:`acquire`.
        """
        self._check(model)
        return [host for host in self.hosts if host.up and host.has(model)]

    @property
    def trouble(self) -> str:
        """Why nothing can be asked now; empty: something can, or may be soon."""
        if any(self._is_or_was_up(host) for host in self.hosts):
            return ""
        told = "; ".join(f"{host.name}: {host.error}" for host in self.hosts)
        return f"No Ollama server can be reached. {told}"

    def _check(self, model: str) -> None:
        if reason := self.trouble:
            raise ModelUnavailable(reason)
        having = [host for host in self.hosts if host.has(model)]
        if having and not any(self._is_or_was_up(host) for host in having):
            names = ", ".join(host.name for host in having)
            raise ModelUnavailable(f"{model} is only on servers that are down: {names}")
        up = [host for host in self.hosts if host.up]
        if not having and up and all(host.asked for host in self.hosts):
            there = sorted({str(tag.get("name")) for host in up for tag in host.tags})
            raise NotOffered(
                f"There is no model {model!r}, neither here nor on Ollama. "
                f"Ollama has: {', '.join(there) or 'none'}."
            )

    def _is_or_was_up(self, host: Host) -> bool:
        return host.up or time.monotonic() - host.up_at < self._grace_s

    def _fits(self, host: Host, model: str) -> bool:
        free = host.running.total() < host.row.parallel
        return host.up and free and model not in host.healing and host.has(model)

    def _best(self, model: str, tried: Collection[Host]) -> Host | None:
        """Return the server to ask now; ``None``: those that should be asked are busy."""

        def standing(host: Host) -> tuple[bool, bool]:
            return host in tried, host.rests(model) or model in host.healing

        having = [host for host in self.hosts if host.up and host.has(model)]
        highest = min(map(standing, having), default=None)
        free = [h for h in having if standing(h) == highest and self._fits(h, model)]
        return min(free, key=lambda host: self._rank(host, model), default=None)

    def _rank(self, host: Host, model: str) -> tuple[float, ...]:
        return (
            model in host.degraded,
            host.gpu_share(model) is None,
            host.running.total() / host.row.parallel,
        )
