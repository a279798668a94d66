"""Who gets a server that becomes free: persons before bulk work, and both in the end."""

import asyncio

from shared.vocabulary import Priority
from workers.remote.config import HealingOptions, ServerConfig
from workers.remote.pool import Pool
from workers.remote.server import Server
from workers.turns import PERSONS_PER_BULK

PERSON, BULK = Priority.PERSON, Priority.BULK


def pool_of(**models: list[str]) -> Pool:
    """A pool whose servers, by name, are up and have these models; nobody polls them."""
    configs = [ServerConfig(url=name) for name in models]
    pool = Pool(configs, HealingOptions(), poll_s=60, grace_s=60)
    for server, names in zip(pool.servers, models.values(), strict=True):
        server.polled = server.up = True
        server.installed = [{"name": name} for name in names]
    return pool


async def served(pool: Pool, waiting: list[tuple[str, Priority]]) -> list[tuple[str, Priority]]:
    """Have requests wait while all servers are busy; return the order in which each had one."""
    order: list[tuple[str, Priority]] = []

    async def run(model: str, priority: Priority) -> Server:
        server = await pool.acquire(model, (), priority)
        order.append((model, priority))
        await pool.release(server, model)
        return server

    first = [await pool.acquire(str(server.installed[0]["name"])) for server in pool.servers]
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        for one in waiting:
            group.create_task(run(*one))
            await asyncio.sleep(0)
        for server in first:
            await pool.release(server, str(server.installed[0]["name"]))
    return order


def test_a_server_that_becomes_free_is_for_persons_first_and_for_the_longest_waiting() -> None:
    pool = pool_of(one=["a:latest", "b:latest"])
    waiting = [("a:latest", BULK), ("b:latest", BULK), ("b:latest", PERSON), ("a:latest", PERSON)]
    assert asyncio.run(served(pool, waiting)) == [*waiting[2:], *waiting[:2]]


def test_while_persons_keep_coming_one_server_in_ten_is_for_bulk_work() -> None:
    pool = pool_of(one=["a:latest"])
    waiting = [("a:latest", BULK)] * 2 + [("a:latest", PERSON)] * 2 * PERSONS_PER_BULK
    order = asyncio.run(served(pool, waiting))
    places = [place for place, (_, who) in enumerate(order) if who is BULK]
    assert places == [PERSONS_PER_BULK, 2 * PERSONS_PER_BULK + 1]


def test_a_person_who_waits_for_another_server_keeps_none_from_bulk_work() -> None:
    async def both() -> None:
        pool = pool_of(one=["a:latest"], two=["b:latest"])
        busy = await pool.acquire("a:latest")
        person = asyncio.create_task(pool.acquire("a:latest"))
        await asyncio.sleep(0)
        other = await asyncio.wait_for(pool.acquire("b:latest", (), BULK), 30)
        await pool.release(busy, "a:latest")
        assert [await asyncio.wait_for(person, 30), other] == pool.servers

    asyncio.run(both())
