"""Memory for the bodies of all requests under way, and the images fetched for them, as they come.

A body counts for what has come of it, so that a client that only announces a large one takes
nothing. When the memory is full, the others wait, and one of them may use a reserve as large as a
body can be: it is served in any case, and what it gives back lets the next one go on. That is the
one whose address has the least. Persons come before bulk work, which leaves a part to them.

All of this belongs to the event loop's thread.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass

from api.limits.shares import SHARES
from shared.settings import Settings
from shared.units import MEGA
from shared.vocabulary import Priority

USUAL_BODY_BYTES = 512 * 1024
"""More than a usual request has: PhotoPrism's pictures of 720 pixels are of 100 to 250 kB."""


def bytes_for_bodies(settings: Settings) -> int:
    """Return the size of one API process' memory, besides its reserve of one body.

    It is the process' share of the budget, and in any case enough for a usual request in each slot:
    otherwise requests would come one at a time, however small they are.
    """
    share = settings.body_budget_mb * MEGA / settings.api_processes
    least = len(Priority) * settings.request_slots * USUAL_BODY_BYTES
    return max(int(share - settings.max_body_mb * MEGA), least)


@dataclass(eq=False)
class Share:
    """The memory that one request has, and what it waits for."""

    address: str
    priority: Priority = Priority.PERSON
    size: int = 0
    """Bytes that it has."""
    wanted: int = 0
    is_given_back: bool = False
    granted: "asyncio.Future[None] | None" = None


class BodyMemory:
    """Gives memory to requests while their bodies come."""

    def __init__(self, size: int) -> None:
        """Prepare.

        Args:
            size: bytes for all requests together, besides the reserve of one body.
        """
        self._size = size
        self._reserve_of: Share | None = None
        self._used: Counter[str] = Counter()
        self._waiting: dict[Share, None] = {}  # the first is the one that has waited longest

    def want(self, share: Share, size: int) -> "asyncio.Future[None]":
        """Return a future that is done when a request has as much memory as this.

        Args:
            share: the request's; :meth:`give_back` it in any case.
            size: bytes in all.
        """
        share.wanted = size
        share.granted = asyncio.get_running_loop().create_future()
        self._waiting[share] = None
        self._grant()
        return share.granted

    def give_back(self, share: Share) -> None:
        """Take back what a request has; harmless when done twice."""
        self._waiting.pop(share, None)
        self._used[share.address] -= share.size
        self._used += Counter()  # forgets addresses that have none
        share.size, share.is_given_back = 0, True
        if self._reserve_of is share:
            self._reserve_of = None
        self._grant()

    def _grant(self) -> None:
        while share := self._next():
            del self._waiting[share]
            self._used[share.address] += share.wanted - share.size
            share.size = share.wanted
            if share.granted is not None:
                share.granted.set_result(None)

    def _next(self) -> Share | None:
        """Return the next waiting request for which there is memory."""
        if self._reserve_of in self._waiting:
            return self._reserve_of
        share = min(self._waiting, key=self._rank, default=None)
        if share is None:
            return None
        is_bulk, used = share.priority is Priority.BULK, self._used.total()
        if used + share.wanted - share.size <= self._size * SHARES[share.priority]:
            return share
        if self._reserve_of is not None or (is_bulk and used > share.size):
            return None
        self._reserve_of = share
        return share

    def _rank(self, share: Share) -> tuple[bool, int]:
        return share.priority is Priority.BULK, self._used[share.address]
