"""Who is next where persons and bulk work wait for the same: persons, but for one place in ten.

Without that place, bulk work would stand still while persons keep coming.
"""

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from itertools import chain
from typing import Generic, TypeVar

from shared.vocabulary import Priority

T = TypeVar("T")

PERSONS_PER_BULK = 9
"""How many places persons get while bulk work waits, until that gets one before them."""
MOST_OWED = 8
"""How many places bulk work can have before persons at once."""


class Turns:
    """Counts who got a place while the other waited."""

    def __init__(self) -> None:
        self._persons = 0
        """How many persons got a place before bulk work; negative: bulk work had more than its
        share."""

    @property
    def owed(self) -> int:
        """How many places bulk work gets before persons now."""
        return max(0, self._persons // PERSONS_PER_BULK)

    def in_turn(self, persons: Sequence[T], bulk: Sequence[T]) -> list[T]:
        """Return all in the order in which they get places."""
        return [*bulk[: self.owed], *persons, *bulk[self.owed :]]

    def taken(self, got: Sequence[Priority], waiting: Collection[Priority]) -> None:
        """Note who got places together.

        Bulk work pays for what it got before persons. If it was first and persons could not join,
        because they ask for something else, that is all of it.

        Args:
            got: priorities of those that got a place, in order.
            waiting: priorities of those that still wait.
        """
        bulk = got.count(Priority.BULK)
        before_all = got[:1] == [Priority.BULK] and Priority.PERSON in waiting
        self._persons -= PERSONS_PER_BULK * (bulk if before_all else min(bulk, self.owed))
        if Priority.BULK in waiting:
            most = PERSONS_PER_BULK * MOST_OWED
            self._persons = min(self._persons + got.count(Priority.PERSON), most)
        else:
            self._persons = min(self._persons, 0)


class Line(Generic[T]):
    """What waits for a place that is given to one at a time."""

    def __init__(self) -> None:
        self._turns = Turns()
        self._waiting: dict[Priority, deque[T]] = {each: deque() for each in Priority}

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def __iter__(self) -> Iterator[T]:
        return chain(*self._waiting.values())

    def append(self, one: T, priority: Priority) -> None:
        """Have it wait behind all others of its priority."""
        self._waiting[priority].append(one)

    def popleft(self) -> T:
        """Remove and return the next one.

        Raises:
            IndexError: nothing waits.
        """
        persons, bulk = self._waiting[Priority.PERSON], self._waiting[Priority.BULK]
        is_bulk = bool(bulk) and (self._turns.owed > 0 or not persons)
        priority = Priority.BULK if is_bulk else Priority.PERSON
        found = self._waiting[priority].popleft()
        self._turns.taken([priority], [each for each in Priority if self._waiting[each]])
        return found
