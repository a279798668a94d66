"""What a worker says of its Ollama servers."""

import asyncio

from shared.vocabulary import WorkerState
from workers.remote.config import HealingOptions, ServerConfig
from workers.remote.pool import Pool
from workers.remote.status import worker_state


async def _answers(pool: Pool, *errors: str) -> None:
    for server, error in zip(pool.servers, errors, strict=False):
        await pool.set_state(server, error)


def test_that_no_server_answers_is_said_once_all_have_been_asked() -> None:
    configs = [ServerConfig(url="nas"), ServerConfig(url="gpu")]

    async def states() -> list[tuple[WorkerState, str]]:
        pool = Pool(configs, HealingOptions(), poll_s=60, grace_s=60)
        seen = [worker_state(pool)]
        for answers in (["refused"], ["refused", "too slow"], ["", "too slow"]):
            await _answers(pool, *answers)
            seen.append(worker_state(pool))
        return seen

    reason = "no Ollama server answers: http://nas:11434: refused; http://gpu:11434: too slow"
    assert asyncio.run(states()) == [
        (WorkerState.LOADING, ""),
        (WorkerState.LOADING, ""),
        (WorkerState.LOADING, reason),
        (WorkerState.DEGRADED, "http://gpu:11434 is down"),
    ]


def test_the_password_in_a_servers_address_is_not_told() -> None:
    async def told() -> str:
        pool = Pool(
            [ServerConfig(url="https://me:secret@gpu:11434/ollama")],
            HealingOptions(),
            poll_s=60,
            grace_s=60,
        )
        await _answers(pool, "refused")
        (server,) = pool.servers
        return f"{worker_state(pool)} {server.status()}"

    said = asyncio.run(told())
    assert "https://gpu:11434/ollama: refused" in said
    assert "secret" not in said
