"""The Ollama servers: which are up, what they have, and who gets the next request."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence

import structlog

from shared.errors import ModelUnavailable, NotOffered
from shared.store import OllamaHost
from workers.ollama.client import Client, HostError, Json
from workers.ollama.config import Healing, HostRow
from workers.ollama.pace import Pace

log = structlog.get_logger(__name__)


def full_name(model: str) -> str:
    """Return a model's name with its tag, in lower case: so Ollama tells names apart."""
    return (model if ":" in model.rpartition("/")[2] else f"{model}:latest").lower()


class Host:
    """One server, as far as we know."""

    def __init__(self, row: HostRow, healing: Healing) -> None:
        self.row, self.client, self._healing_options = row, Client(row), healing
        self.up, self.asked, self.error = False, False, ""
        self.up_at = time.monotonic()
        self.version = ""
        self.tags: list[Json] = []
        self.ps: list[Json] = []
        self.running: Counter[str] = Counter()
        self.healing: set[str] = set()
        self.degraded: dict[str, str] = {}
        self.heals: Counter[str] = Counter()
        self._paces: dict[str, Pace] = {}

    @property
    def name(self) -> str:
        """Its address, which logs and operators know it by."""
        return self.row.url

    def has(self, model: str) -> bool:
        """Say whether the model is installed there."""
        return any(full_name(str(tag.get("name"))) == model for tag in self.tags)

    def gpu_share(self, model: str) -> float | None:
        """Return which share of the model's memory is on the GPU; ``None``: it is not loaded."""
        for entry in self.ps:
            if full_name(str(entry.get("name"))) == model and entry.get("size"):
                return float(entry.get("size_vram") or 0) / float(entry["size"])
        return None

    def pace(self, model: str) -> Pace:
        """Return the watch over a model's speed."""
        return self._paces.setdefault(model, Pace(self._healing_options))

    async def look(self) -> None:
        """Ask the server what it has and what is loaded.

        Raises:
            HostError: it does not say.
        """
        tags, ps = await asyncio.gather(self.client.get("/api/tags"), self.client.get("/api/ps"))
        self.tags, self.ps = tags.get("models") or [], ps.get("models") or []
        if not self.version:
            self.version = str((await self.client.get("/api/version")).get("version", ""))

    def status(self) -> OllamaHost:
        """Return what operators see."""
        return OllamaHost(
            url=self.name,
            up=self.up,
            error=self.error,
            parallel=self.row.parallel,
            running=self.running.total(),
            models=tuple(sorted(str(tag.get("name")) for tag in self.tags)),
            gpu_share={
                str(entry.get("name")): round(self.gpu_share(full_name(str(entry["name"]))) or 0, 2)
                for entry in self.ps
                if entry.get("name")
            },
            tokens_per_s={model: round(pace.now, 1) for model, pace in self._paces.items()},
            best_tokens_per_s={model: round(pace.best, 1) for model, pace in self._paces.items()},
            healing=tuple(sorted(self.healing)),
            degraded=dict(self.degraded),
            heals=dict(self.heals),
        )


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

        Best is one that has not been tried for this request, is not degraded, has the model
        loaded, and has the least to do.

        Raises:
            NotOffered: no server that can be reached has it; the message says what they have.
            ModelUnavailable: none can be reached, and none could be for a while.
        """
        async with self._changed:
            while True:
                self._check(model)
                free = [h for h in self.hosts if self._fits(h, model)]
                if free:
                    best = min(free, key=lambda h: self._rank(h, model, tried))
                    best.running[model] += 1
                    return best
                # Time matters only while all are down: looks at them go on, and wake us.
                await self._changed.wait()

    async def release(self, host: Host, model: str) -> None:
        """Give a place back."""
        host.running[model] -= 1
        await self.tell()

    def others_fit(self, host: Host, model: str) -> bool:
        """Say whether another server could take the model's requests."""
        return any(self._fits(h, model) for h in self.hosts if h is not host)

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

    def _rank(self, host: Host, model: str, tried: Collection[Host]) -> tuple[float, ...]:
        return (
            host in tried,
            model in host.degraded,
            host.gpu_share(model) is None,
            host.running.total() / host.row.parallel,
        )
