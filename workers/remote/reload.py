"""What is done to a model that became slow: unload it, load it again, and compare."""

import asyncio
from collections.abc import Awaitable

import structlog

from shared.messages import JsonObject
from workers.remote.client import HostError
from workers.remote.meters import tokens_per_s
from workers.remote.pool import Pool
from workers.remote.server import Host

log = structlog.get_logger(__name__)

IDLE_S = 60.0
"""How long the model's running requests may take before it is unloaded all the same."""
GLANCE_S = 0.2
WARM_UP_S = 300.0
"""How long a model may take to load."""
WARM_UP_TOKENS = 16


async def reload(pool: Pool, host: Host, model: str, unload_s: float) -> bool:
    """Unload the model, load it again, and say whether it is as it used to be.

    Raises:
        HostError: the server fails, or does not answer for too long.
    """
    try:
        async with asyncio.timeout(IDLE_S):
            await pool.wait_until(lambda: not host.running[model])
    except TimeoutError:
        log.warning("requests still run; unloading all the same", server=host.name)
    unloading = host.client.ask("/api/generate", {"model": model, "keep_alive": 0})
    await _within(unload_s, unloading)
    try:
        async with asyncio.timeout(unload_s):
            while await _is_loaded(host, model):  # noqa: ASYNC110 - it tells of no end
                await asyncio.sleep(GLANCE_S)
    except TimeoutError:
        log.warning("ollama did not unload the model", server=host.name, model=model)
    return await is_good(host, model)


async def is_good(host: Host, model: str) -> bool:
    """Warm the model up, loaded as requests have it loaded, and say whether it is as it used to be.

    Raises:
        HostError: the server fails, or does not answer for too long.
    """
    manners = host.manners(model)
    body = {
        **manners,
        "model": model,
        "prompt": "Count from one to twenty in words.",
        "options": {**manners["options"], "num_predict": WARM_UP_TOKENS},
    }
    since = host.crowd.moment()
    host.crowd.change(1)
    try:
        reply = await _within(WARM_UP_S, host.client.ask("/api/generate", body))
    finally:
        host.crowd.change(-1)
    at_once = host.crowd.since(since)
    await host.look()
    pace, speed, gpu_share = host.pace(model), tokens_per_s(reply), host.gpu_share(model)
    pace.note_load(reply)
    good = pace.is_good(speed, gpu_share, at_once)
    log.info(
        "ollama model warmed up",
        server=host.name,
        model=model,
        tokens_per_s=speed and round(speed, 1),
        best=round(pace.best, 1),
        gpu_share=gpu_share,
        load_s=round(pace.load_s, 1),
        best_load_s=round(pace.best_load_s, 1),
        good=good,
    )
    return good


async def _is_loaded(host: Host, model: str) -> bool:
    await host.look()
    return host.gpu_share(model) is not None


async def _within(seconds: float, call: Awaitable[JsonObject]) -> JsonObject:
    try:
        async with asyncio.timeout(seconds):
            return await call
    except TimeoutError as err:
        raise HostError(f"no answer within {seconds:.0f} s") from err
