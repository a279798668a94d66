"""Reloading a model that has become slow, and measuring whether that helped."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import structlog

from shared.vocabulary import OllamaCall
from workers.remote.client import load_seconds, tokens_per_s
from workers.remote.errors import ServerError
from workers.remote.meters import ThroughputMeter
from workers.remote.pool import Pool
from workers.remote.server import Server

log = structlog.get_logger(__name__)

IDLE_TIMEOUT_S = 60.0
"""How long running requests may take before the model is unloaded nevertheless."""
POLL_S = 0.2
WARM_UP_TIMEOUT_S = 300.0
"""How long a model may take to load and answer."""
WARM_UP_PROMPT = "Count from one to twenty in words."
WARM_UP_TOKENS = 16

T = TypeVar("T")


async def reload(pool: Pool, server: Server, model: str, unload_s: float) -> bool:
    """Unload the model, load it again, and return whether it performs normally.

    Raises:
        ServerError: the server fails, or does not answer in time.
    """
    try:
        async with asyncio.timeout(IDLE_TIMEOUT_S):
            await pool.wait_until(lambda: not server.running[model])
    except TimeoutError:
        log.warning("unloading an ollama model despite running requests", server=server.name)
    await _within(unload_s, server.client.unload(server.spelling(model)))
    try:
        async with asyncio.timeout(unload_s):
            while await _is_loaded(server, model):  # noqa: ASYNC110 - Ollama sends no event
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        log.warning("ollama did not unload the model", server=server.name, model=model)
    return await performs_normally(server, model)


async def performs_normally(server: Server, model: str) -> bool:
    """Run a short prompt, with the model loaded as by requests, and compare its speed.

    Raises:
        ServerError: the server fails, or does not answer in time.
    """
    load_options = server.load_options(model)
    body = {
        **load_options,
        "model": server.spelling(model),
        "prompt": WARM_UP_PROMPT,
        "options": {**load_options["options"], "num_predict": WARM_UP_TOKENS},
    }
    mark = server.concurrency.mark()
    server.concurrency.change(1)
    try:
        call = server.client.generate(OllamaCall.GENERATE, body)
        reply = await _within(WARM_UP_TIMEOUT_S, call)
    finally:
        server.concurrency.change(-1)
    concurrency = server.concurrency.average_since(mark)
    await server.refresh()
    meter, speed, gpu_share = server.throughput(model), tokens_per_s(reply), server.gpu_share(model)
    meter.record_load(load_seconds(reply))
    good = meter.is_normal(speed, gpu_share, concurrency)
    log.info(
        "ollama model warmed up",
        server=server.name,
        model=model,
        tokens_per_s=speed and round(speed, 1),
        best=round(meter.best, 1),
        gpu_share=gpu_share,
        good=good,
        **load_times(meter),
    )
    return good


def load_times(meter: ThroughputMeter) -> dict[str, float]:
    """Return the load times of a model as fields of a log line."""
    return {"load_s": round(meter.load_s, 1), "best_load_s": round(meter.best_load_s, 1)}


async def _is_loaded(server: Server, model: str) -> bool:
    await server.refresh()
    return server.gpu_share(model) is not None


async def _within(seconds: float, call: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(seconds):
            return await call
    except TimeoutError as err:
        raise ServerError(f"no answer within {seconds:.0f} s") from err
