"""Reloads a model on a server where it has become slow; requests a restart if that fails."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import structlog

from shared.messages import JsonObject
from shared.ollama_settings import OllamaSettings
from workers.remote.client import entry_name, load_seconds, tokens_per_s
from workers.remote.config import HealingOptions
from workers.remote.errors import ServerDown, ServerError
from workers.remote.meters import Sample
from workers.remote.pool import Pool
from workers.remote.reload import load_times, performs_normally, reload
from workers.remote.restart import RESTART_TIMEOUT_S, request_restart
from workers.remote.server import Server

log = structlog.get_logger(__name__)

RESTART_POLL_S = 0.2
"""Pause between two checks of a server that is being restarted."""
SLOW_POLL_S = 5.0
"""The same once it answers, but slowly."""
MAX_PAUSE_S = 6 * 3600.0
OPERATOR_CLAIM_S = 5.0
"""An operator's command reaches all replicas; the first one claims it for this long."""
LEFT_TO_ANOTHER = "left to another worker"

Claim = Callable[[str, float], Awaitable[bool]]
"""``claim(what, seconds)``: claims something among the replicas, which share the servers.

Returns whether no other replica holds the claim.
"""


class _Case(NamedTuple):
    """A model on a server that is to be healed."""

    server: Server
    model: str
    reason: str
    by_operator: bool = False
    probe: bool = False
    """Check first whether it has recovered by itself."""

    @property
    def key(self) -> tuple[str, str]:
        return self.server.name, self.model


class Healer:
    """Heals each model on each server at most once at a time; one per worker."""

    def __init__(
        self, pool: Pool, options: HealingOptions, environment: OllamaSettings, claim: Claim
    ) -> None:
        self._pool, self._options, self._environment = pool, options, environment
        self._claim = claim
        self._next_at: dict[tuple[str, str], float] = {}
        self._pause_s: dict[tuple[str, str], float] = {}
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}

    def record(self, server: Server, model: str, reply: JsonObject, concurrency: int) -> None:
        """Record an answer, and start healing when the latest ones were too slow.

        Args:
            server: the server that gave it.
            model: the model's full name.
            reply: the answer, or its last part.
            concurrency: average number of requests on the server meanwhile.
        """
        meter = server.throughput(model)
        if meter.record_load(load_seconds(reply)):
            log.warning(
                "ollama model was slow to load",
                server=server.name,
                model=model,
                **load_times(meter),
            )
        speed, gpu_share = tokens_per_s(reply), server.gpu_share(model)
        if speed is None or model in server.healing:
            return
        meter.record(Sample(speed, gpu_share, concurrency))
        problem = meter.problem()
        if problem:
            self._record_problem(_Case(server, model, problem))
        elif model in server.degraded and meter.is_normal(speed, gpu_share, concurrency):
            del server.degraded[model]
            log.info("ollama model recovered", server=server.name, model=model)

    def retry_degraded(self) -> None:
        """Check degraded models again when their pause is over and their server is idle.

        They get no requests while other servers can answer, and so no chance to recover.
        """
        for server in self._pool.servers:
            if server.up and not server.running.total():
                for model, reason in server.degraded.items():
                    self._begin_if_due(_Case(server, model, reason, probe=True))

    def reload_all(self) -> None:
        """Reload all loaded models, because an operator wants it."""
        for server in self._pool.servers:
            for entry in server.loaded if server.up else ():
                self._begin(
                    _Case(server, entry_name(entry), "an operator wants it", by_operator=True)
                )

    async def unload_all(self) -> None:
        """Unload all loaded models, because an operator wants it."""
        for server in self._pool.servers:
            for entry in list(server.loaded):
                try:
                    await server.client.unload(str(entry.get("name")))
                except ServerError as err:
                    log.warning(
                        "cannot unload an ollama model", server=server.name, error=err.message
                    )

    def _record_problem(self, case: _Case) -> None:
        case.server.degraded[case.model] = case.reason
        if self._options.enabled:
            self._begin_if_due(case)
        else:
            self._next_at.setdefault(case.key, time.monotonic() + self._options.interval_s)

    def _begin_if_due(self, case: _Case) -> None:
        if time.monotonic() >= self._next_at.get(case.key, 0):
            self._begin(case)

    def _begin(self, case: _Case) -> None:
        """Heal in the background; the server gets no requests for the model meanwhile."""
        if case.key in self._tasks:
            return
        case.server.healing.add(case.model)
        self._tasks[case.key] = task = asyncio.create_task(self._run(case))
        task.add_done_callback(lambda _: self._tasks.pop(case.key))

    async def _run(self, case: _Case) -> None:
        case_log = log.bind(server=case.server.name, model=case.model)
        outcome = "failed"
        try:
            what = "recycle" if case.by_operator else "heal"
            seconds = OPERATOR_CLAIM_S if case.by_operator else self._options.interval_s
            if not await self._claim(f"{what}:{case.server.name}:{case.model}", seconds):
                outcome = LEFT_TO_ANOTHER
                return
            case_log.warning("healing an ollama model", reason=case.reason)
            outcome = await self._heal(case)
        except Exception:  # noqa: BLE001 - nothing awaits this task: only the log shows it
            case_log.exception("bug in healing")
        finally:
            self._finish(case, outcome)
            case_log.info("ollama healing finished", outcome=outcome)
            await self._pool.notify()

    async def _heal(self, case: _Case) -> str:
        """Return the outcome, by which attempts are counted."""
        if case.probe and await self._succeeds(case, performs_normally(case.server, case.model)):
            return "recovered"
        if not (self._options.enabled or case.by_operator):
            return "failed"
        reloading = reload(self._pool, case.server, case.model, self._options.unload_s)
        if await self._succeeds(case, reloading):
            return "healed"
        return "healed by a restart" if await self._restart(case) else "failed"

    async def _succeeds(self, case: _Case, step: Awaitable[bool]) -> bool:
        """Return the result of a step; a server that fails meanwhile is not healed."""
        try:
            return await step
        except ServerError as err:
            log.warning(
                "ollama request failed during healing", server=case.server.name, error=err.message
            )
            case.server.degraded[case.model] = f"{case.reason}; then: {err.message}"
            if isinstance(err, ServerDown):
                await self._pool.set_state(case.server, err.message)
            return False

    def _finish(self, case: _Case, outcome: str) -> None:
        server, model, key = case.server, case.model, case.key
        server.healing.discard(model)
        server.heals[outcome] += 1
        server.throughput(model).reset()
        pause_s = self._pause_s.get(key, self._options.interval_s)
        self._next_at[key] = time.monotonic() + pause_s
        if outcome == "failed":
            server.degraded.setdefault(model, case.reason)
            self._pause_s[key] = min(2 * pause_s, MAX_PAUSE_S)
        elif outcome != LEFT_TO_ANOTHER:
            server.degraded.pop(model, None)
            server.end_cooldown(model)
            self._pause_s.pop(key, None)

    async def _restart(self, case: _Case) -> bool:
        """Have the server restarted, unless it was recently; return whether that helped."""
        server, environment = case.server, self._environment
        if not (environment.restart_command or environment.restart_url):
            return False
        if not await self._claim(f"restart:{server.name}", self._options.restart_interval_s):
            log.warning("ollama was restarted recently, not again", server=server.name)
            return False
        await request_restart(environment, server.name, case.model)
        try:
            async with asyncio.timeout(RESTART_TIMEOUT_S):
                while not await self._succeeds(case, self._is_restarted(case)):
                    answers = case.model not in server.healing
                    await asyncio.sleep(SLOW_POLL_S if answers else RESTART_POLL_S)
        except TimeoutError:
            return False
        return True

    async def _is_restarted(self, case: _Case) -> bool:
        """Return whether a server that is being restarted performs normally.

        One that answers slowly may not have stopped yet, or may stay slow: it gets requests again.
        """
        server, model = case.server, case.model
        await server.refresh()
        await self._pool.set_state(server, "")
        good = await performs_normally(server, model)
        if not good:
            server.degraded[model] = case.reason
            server.healing.discard(model)
            await self._pool.notify()
        return good
