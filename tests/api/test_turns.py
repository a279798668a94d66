"""Turns in the event loop: one at each pass, and each line in its turn."""

import asyncio
from itertools import count

from api.front.turns import Turns


async def passes_of(turns: Turns, lines: list[str]) -> list[tuple[str, int]]:
    """Have a task for each line take a turn; return them in order, each with the loop's pass."""
    loop, number, seen = asyncio.get_running_loop(), count(), list[tuple[str, int]]()
    now = 0

    def next_pass() -> None:
        nonlocal now
        now = next(number)
        loop.call_soon(next_pass)

    async def take(line: str) -> None:
        await turns.take(line)
        seen.append((line, now))

    next_pass()
    await asyncio.gather(*(take(line) for line in lines))
    return seen


def test_one_task_goes_on_at_each_pass() -> None:
    seen = asyncio.run(passes_of(Turns(), ["crowd"] * 100))
    passes = [number for _, number in seen]
    assert len(set(passes)) == 100
    assert passes[-1] - passes[0] == 99


def test_a_long_line_keeps_no_other_waiting() -> None:
    seen = asyncio.run(passes_of(Turns(), ["crowd"] * 100 + ["one", "two", "one"]))
    order = [line for line, _ in seen]
    assert order[:5] == ["crowd", "one", "two", "crowd", "one"]


def test_who_waits_no_more_takes_no_turn() -> None:
    async def scenario() -> list[str]:
        turns, seen = Turns(), list[str]()

        async def take(line: str) -> None:
            await turns.take(line)
            seen.append(line)

        tasks = [asyncio.create_task(take(line)) for line in ("a", "b", "a")]
        await asyncio.sleep(0)
        tasks[0].cancel()
        await asyncio.wait(tasks)
        return seen

    assert asyncio.run(scenario()) == ["b", "a"]
