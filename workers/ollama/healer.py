"""Load a model anew where it has become slow, and call for a restart where that does not help."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable

import httpx2
import structlog

from shared.settings import OllamaSettings
from workers.ollama.client import HostDown, HostError, Json
from workers.ollama.config import Healing
from workers.ollama.pace import Sample, tokens_per_s
from workers.ollama.pool import Host, Pool

log = structlog.get_logger(__name__)

IDLE_S = 60.0
"""How long the model's running requests may take before it is unloaded all the same."""
GLANCE_S = 0.2
WARM_UP_S = 300.0
"""How long a model may take to load."""
RESTART_S = 120.0
"""How long a restart may take."""
WARM_UP_TOKENS = 16
LONGEST_PAUSE_S = 6 * 3600.0

Claim = Callable[[str, float], Awaitable[bool]]
"""``claim(what, seconds)``: may we, and nobody else for so long? Replicas share the servers."""


class Healer:
    """One per worker; heals each model on each server at most once at a time."""

    def __init__(
        self, pool: Pool, options: Healing, environment: OllamaSettings, claim: Claim
    ) -> None:
        self._pool, self._options, self._environment = pool, options, environment
        self._claim = claim
        self._next_at: dict[tuple[str, str], float] = {}
        self._pause_s: dict[tuple[str, str], float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def consider(self, host: Host, model: str, reply: Json) -> None:
        """Take note of an answer, and begin to heal when the last ones were bad."""
        speed = tokens_per_s(reply)
        if speed is None or model in host.healing:
            return
        pace = host.pace(model)
        pace.note(Sample(speed, host.gpu_share(model)))
        trouble = pace.trouble()
        if trouble is None:
            if model in host.degraded and pace.is_good(speed, host.gpu_share(model)):
                del host.degraded[model]
                log.info("ollama model recovered", server=host.name, model=model)
            return
        host.degraded[model] = trouble
        if self._options.enabled and time.monotonic() >= self._next_at.get((host.name, model), 0):
            self.begin(host, model, trouble)

    def begin(self, host: Host, model: str, why: str) -> None:
        """Heal in the background; the server gets no requests for the model meanwhile."""
        if model in host.healing:
            return
        host.healing.add(model)
        task = asyncio.create_task(self._heal(host, model, why))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _heal(self, host: Host, model: str, why: str) -> None:
        told = log.bind(server=host.name, model=model)
        outcome = "failed"
        try:
            if not await self._claim(f"heal:{host.name}:{model}", self._options.interval_s):
                outcome = "left to another worker"
                return
            told.warning("ollama model is slow; loading it anew", why=why)
            if await self._reload(host, model):
                outcome = "healed"
            elif await self._restart(host, model):
                outcome = "healed by a restart"
        except HostError as err:
            host.degraded[model] = f"{why}; then: {err.message}"
            if isinstance(err, HostDown):
                await self._pool.mark(host, err.message)
        except Exception:  # noqa: BLE001 - a task of its own: nobody else would see it
            told.exception("bug in healing")
        finally:
            self._end(host, model, outcome)
            told.info("ollama healing over", outcome=outcome)
            await self._pool.tell()

    def _end(self, host: Host, model: str, outcome: str) -> None:
        host.healing.discard(model)
        host.heals[outcome] += 1
        host.pace(model).forget()
        key = (host.name, model)
        pause_s = self._pause_s.get(key, self._options.interval_s)
        self._next_at[key] = time.monotonic() + pause_s
        if outcome.startswith("healed"):
            host.degraded.pop(model, None)
            self._pause_s.pop(key, None)
        else:
            self._pause_s[key] = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _reload(self, host: Host, model: str) -> bool:
        """Unload the model, load it again, and say whether it is as it used to be."""
        try:
            async with asyncio.timeout(IDLE_S):
                await self._pool.wait_until(lambda: not host.running[model])
        except TimeoutError:
            log.warning("requests still run; unloading all the same", server=host.name)
        await _within(
            self._options.unload_s,
            host.client.ask("/api/generate", {"model": model, "keep_alive": 0}),
        )
        try:
            async with asyncio.timeout(self._options.unload_s):
                while await self._is_loaded(host, model):  # noqa: ASYNC110 - it tells of no end
                    await asyncio.sleep(GLANCE_S)
        except TimeoutError:
            log.warning("ollama did not unload the model", server=host.name, model=model)
        return await self._is_good(host, model)

    async def _is_loaded(self, host: Host, model: str) -> bool:
        await host.look()
        return host.gpu_share(model) is not None

    async def _is_good(self, host: Host, model: str) -> bool:
        """Warm the model up and compare."""
        body = {
            "model": model,
            "prompt": "Count from one to twenty in words.",
            "options": {"num_predict": WARM_UP_TOKENS},
        }
        reply = await _within(WARM_UP_S, host.client.ask("/api/generate", body))
        await host.look()
        speed = tokens_per_s(reply)
        gpu_share = host.gpu_share(model)
        good = host.pace(model).is_good(speed, gpu_share)
        log.info(
            "ollama model warmed up",
            server=host.name,
            model=model,
            tokens_per_s=speed and round(speed, 1),
            best=round(host.pace(model).best, 1),
            gpu_share=gpu_share,
            good=good,
        )
        return good

    async def _restart(self, host: Host, model: str) -> bool:
        """Call the operator's command or URL, not too often; say whether that helped."""
        command, url = self._environment.restart_command, self._environment.restart_url
        if not (command or url):
            return False
        if not await self._claim(f"restart:{host.name}", self._options.restart_interval_s):
            log.warning("ollama was restarted lately; not again", server=host.name)
            return False
        log.warning("restarting ollama", server=host.name)
        if command:
            await _run(command, {"OLLAMA_SERVER": host.name, "OLLAMA_MODEL": model})
        if url:
            await _post(url, {"server": host.name, "model": model})
        try:
            async with asyncio.timeout(RESTART_S):
                while True:
                    try:
                        await host.look()
                        return await self._is_good(host, model)
                    except HostDown:  # on its way down or up
                        await asyncio.sleep(GLANCE_S)
        except TimeoutError:
            return False


async def _within(seconds: float, call: Awaitable[Json]) -> Json:
    try:
        async with asyncio.timeout(seconds):
            return await call
    except TimeoutError as err:
        raise HostError(f"no answer within {seconds:.0f} s") from err


async def _run(command: str, variables: dict[str, str]) -> None:
    process = await asyncio.create_subprocess_shell(
        command,
        env={**os.environ, **variables},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(RESTART_S):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        log.warning("the restart command took too long and was ended", command=command)
        return
    tail = output.decode(errors="replace")[-500:]
    log.info("restart command ended", status=process.returncode, output=tail)


async def _post(url: str, body: dict[str, str]) -> None:
    try:
        async with httpx2.AsyncClient(timeout=RESTART_S, trust_env=False) as http:
            reply = await http.post(url, json=body)
        log.info("restart webhook answered", status=reply.status_code)
    except httpx2.HTTPError as err:
        log.warning("restart webhook failed", error=f"{type(err).__name__}: {err}")
