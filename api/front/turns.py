"""Turns in the event loop, so that a crowd of clients delays nobody else.

At each pass the loop does all there is to do before it looks for anything new. Flask takes half a
millisecond in the loop for a refusal, and when a hundred clients got theirs at each pass, a sign of
life, which needs four passes, took 200 ms. With turns, one request is begun at each pass, or one
reply that a thread has made, or one more part of a reply. Other turns are for parsing.
"""

import asyncio
from collections import deque
from collections.abc import Hashable


class Turns:
    """Lets tasks go on one after the other: each line in its turn, and there in order."""

    def __init__(self) -> None:
        self._lines: dict[Hashable, deque[asyncio.Future[None]]] = {}  # the first comes next
        self._is_going_on = False

    async def take(self, line: Hashable) -> None:
        """Wait for a turn, which lasts until the task waits for something else.

        Args:
            line: who waits; a line has a turn as often as any other, however long it is.
        """
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._lines.setdefault(line, deque()).append(turn)
        if not self._is_going_on:
            self._is_going_on = True
            loop.call_soon(self._go_on)
        await turn

    def _go_on(self) -> None:
        """Give the next turn. Its task runs at the loop's next pass, as the next call of this."""
        line, turns = next(iter(self._lines.items()))
        del self._lines[line]
        turn = turns.popleft()
        if turns:
            self._lines[line] = turns
        if not turn.done():  # else the task was cancelled
            turn.set_result(None)
        self._is_going_on = bool(self._lines)
        if self._is_going_on:
            asyncio.get_running_loop().call_soon(self._go_on)
