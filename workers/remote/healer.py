"""Load a model anew where it has become slow, and call for a restart where that does not help."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import structlog

from shared.messages import JsonObject
from shared.settings import OllamaSettings
from workers.remote.client import HostDown, HostError
from workers.remote.config import Healing
from workers.remote.meters import Sample, tokens_per_s
from workers.remote.pool import Pool
from workers.remote.reload import is_good, reload
from workers.remote.restart import RESTART_S, call_for_restart
from workers.remote.server import Host, full_name

log = structlog.get_logger(__name__)

GLANCE_S = 0.2
PROBE_S = 5.0
"""Pause between two looks at a server that was restarted and answers, but slowly."""
LONGEST_PAUSE_S = 6 * 3600.0
BY_HAND_S = 5.0
"""An operator's command reaches all replicas; so long one of them has it to itself."""
LEFT = "left to another worker"

Claim = Callable[[str, float], Awaitable[bool]]
"""``claim(what, seconds)``: may we, and nobody else for so long? Replicas share the servers."""


class _Case(NamedTuple):
    """A model on a server that is to be healed."""

    host: Host
    model: str
    why: str
    by_hand: bool = False
    probe: bool = False
    """Look first whether it is well by itself."""

    @property
    def key(self) -> tuple[str, str]:
        return self.host.name, self.model


class Healer:
    """One per worker; heals each model on each server at most once at a time."""

    def __init__(
        self, pool: Pool, options: Healing, environment: OllamaSettings, claim: Claim
    ) -> None:
        self._pool, self._options, self._environment = pool, options, environment
        self._claim = claim
        self._next_at: dict[tuple[str, str], float] = {}
        self._pause_s: dict[tuple[str, str], float] = {}
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}

    def consider(self, host: Host, model: str, reply: JsonObject, at_once: int) -> None:
        """Take note of an answer, and begin to heal when the last ones were bad.

        Args:
            host: the server that gave it.
            model: the model.
            reply: the answer, or its last part.
            at_once: requests that the server had meanwhile.
        """
        pace = host.pace(model)
        if pace.note_load(reply):
            log.warning(
                "ollama model was slow to load",
                server=host.name,
                model=model,
                load_s=round(pace.load_s, 1),
                best_load_s=round(pace.best_load_s, 1),
            )
        speed, gpu_share = tokens_per_s(reply), host.gpu_share(model)
        if speed is None or model in host.healing:
            return
        pace.note(Sample(speed, gpu_share, at_once))
        trouble = pace.trouble()
        if trouble is None:
            if model in host.degraded and pace.is_good(speed, gpu_share, at_once):
                del host.degraded[model]
                log.info("ollama model recovered", server=host.name, model=model)
            return
        host.degraded[model] = trouble
        case = _Case(host, model, trouble)
        if self._options.enabled:
            self._begin_if_due(case)
        else:
            self._next_at.setdefault(case.key, time.monotonic() + self._options.interval_s)

    def look_again(self) -> None:
        """Try models that stay slow anew when their pause is over and their server is idle.

        They get no requests while others can answer, and so no chance to show that they are well.
        """
        for host in self._pool.hosts:
            if host.up and not host.running.total():
                for model, why in host.degraded.items():
                    self._begin_if_due(_Case(host, model, why, probe=True))

    def reload_all(self) -> None:
        """Load all loaded models anew, because an operator wants it."""
        for host in self._pool.hosts:
            for entry in host.ps if host.up else ():
                model = full_name(str(entry.get("name")))
                self._begin(_Case(host, model, "an operator wants it", by_hand=True))

    async def unload_all(self) -> None:
        """Unload all loaded models, because an operator wants it."""
        for host in self._pool.hosts:
            for entry in list(host.ps):
                try:
                    body = {"model": entry.get("name"), "keep_alive": 0}
                    await host.client.ask("/api/generate", body)
                except HostError as err:
                    log.warning("cannot unload", server=host.name, error=err.message)

    def _begin_if_due(self, case: _Case) -> None:
        if time.monotonic() >= self._next_at.get(case.key, 0):
            self._begin(case)

    def _begin(self, case: _Case) -> None:
        """Heal in the background; the server gets no requests for the model meanwhile."""
        if case.key in self._tasks:
            return
        case.host.healing.add(case.model)
        self._tasks[case.key] = task = asyncio.create_task(self._heal(case))
        task.add_done_callback(lambda _: self._tasks.pop(case.key))

    async def _heal(self, case: _Case) -> None:
        told = log.bind(server=case.host.name, model=case.model)
        outcome = "failed"
        try:
            what = "recycle" if case.by_hand else "heal"
            seconds = BY_HAND_S if case.by_hand else self._options.interval_s
            if not await self._claim(f"{what}:{case.host.name}:{case.model}", seconds):
                outcome = LEFT
                return
            told.warning("healing an ollama model", why=case.why)
            outcome = await self._treat(case)
        except Exception:  # noqa: BLE001 - a task of its own: nobody else would see it
            told.exception("bug in healing")
        finally:
            self._end(case, outcome)
            told.info("ollama healing over", outcome=outcome)
            await self._pool.tell()

    async def _treat(self, case: _Case) -> str:
        if case.probe and await self._try(case, is_good(case.host, case.model)):
            return "recovered"
        if not (self._options.enabled or case.by_hand):
            return "failed"
        if await self._try(case, reload(self._pool, case.host, case.model, self._options.unload_s)):
            return "healed"
        return "healed by a restart" if await self._restart(case) else "failed"

    async def _try(self, case: _Case, step: Awaitable[bool]) -> bool:
        """Take a step of the treatment; a server that fails meanwhile is not well."""
        try:
            return await step
        except HostError as err:
            log.warning("ollama failed in healing", server=case.host.name, error=err.message)
            case.host.degraded[case.model] = f"{case.why}; then: {err.message}"
            if isinstance(err, HostDown):
                await self._pool.mark(case.host, err.message)
            return False

    def _end(self, case: _Case, outcome: str) -> None:
        host, model, key = case.host, case.model, case.key
        host.healing.discard(model)
        host.heals[outcome] += 1
        host.pace(model).forget()
        pause_s = self._pause_s.get(key, self._options.interval_s)
        self._next_at[key] = time.monotonic() + pause_s
        if outcome == "failed":
            host.degraded.setdefault(model, case.why)
            self._pause_s[key] = min(2 * pause_s, LONGEST_PAUSE_S)
        elif outcome != LEFT:
            host.degraded.pop(model, None)
            host.answered(model)
            self._pause_s.pop(key, None)

    async def _restart(self, case: _Case) -> bool:
        """Call the operator's command or URL, not too often; say whether that helped."""
        host, environment = case.host, self._environment
        if not (environment.restart_command or environment.restart_url):
            return False
        if not await self._claim(f"restart:{host.name}", self._options.restart_interval_s):
            log.warning("ollama was restarted lately; not again", server=host.name)
            return False
        await call_for_restart(environment, host.name, case.model)
        try:
            async with asyncio.timeout(RESTART_S):
                while not await self._try(case, self._is_back(case)):
                    answers = case.model not in host.healing
                    await asyncio.sleep(PROBE_S if answers else GLANCE_S)
        except TimeoutError:
            return False
        return True

    async def _is_back(self, case: _Case) -> bool:
        """Say whether a server that is being restarted answers as it used to.

        While it answers but slowly it may be on its way down, or beyond help: requests go on.
        """
        host, model = case.host, case.model
        await host.look()
        await self._pool.mark(host, "")
        good = await is_good(host, model)
        if not good:
            host.degraded[model] = case.why
            host.healing.discard(model)
            await self._pool.tell()
        return good
