"""Request slots, and the requests that wait for one in a fair order.

One client may take all that is free, and yet keeps nobody out: a slot that becomes free goes to the
address that has the fewest, and a few slots beyond the others are for addresses that have none.

All of this belongs to the event loop's thread.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from prometheus_client import Gauge

from shared.errors import Overloaded

WAITING_PER_SLOT = 4
"""Requests that may wait, for each slot; for more it would hardly be their turn in time."""


@dataclass(eq=False)
class Place:
    """A request that has a slot, or waits for one."""

    address: str
    granted: "asyncio.Future[None]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    is_held: bool = False


class WaitingRoom:
    """Gives slots to requests: to the address that has the fewest, and there in order."""

    def __init__(self, slots: int, reserve: int, in_flight: Gauge, waiting: Gauge) -> None:
        """Prepare.

        Args:
            slots: how many there are.
            reserve: how many more there are for addresses that have none.
            in_flight: is set to the number of slots in use.
            waiting: is set to the number of requests that wait for one.
        """
        self._slots, self._with_reserve = slots, slots + reserve
        self._in_flight, self._waiting_gauge = in_flight, waiting
        self._used: Counter[str] = Counter()
        self._waiting: dict[Place, None] = {}  # the first is the one that has waited longest
        self._shown = 0
        waiting.set(0)

    @property
    def is_full(self) -> bool:
        """Whether as many wait as may."""
        return len(self._waiting) >= WAITING_PER_SLOT * self._slots

    def enter(self, address: str) -> Place:
        """Return a place, which is granted at once or later; :meth:`leave` it in any case.

        If too many wait, the latest of the address with the most has to go: its ``granted`` raises
        ``Overloaded``.
        """
        was_full = self.is_full
        place = Place(address)
        self._waiting[place] = None
        self._grant()
        if was_full and place in self._waiting:
            self._send_one_away()
        self._show()
        return place

    def leave(self, place: Place) -> None:
        """Give back a slot, or wait no more; harmless when done twice."""
        self._waiting.pop(place, None)
        place.granted.cancel()
        if place.is_held:
            place.is_held = False
            self._used[place.address] -= 1
            self._used += Counter()  # forgets addresses that have none
            self._in_flight.dec()
        self._grant()
        self._show()

    def refusal(self) -> Overloaded:
        """Return the error for a request that gets no slot."""
        return Overloaded(f"{self._used.total()} requests are under way here. Try again soon.")

    def _show(self) -> None:
        """Set the gauge, which is a file that all API processes have mapped, if need be."""
        if len(self._waiting) != self._shown:
            self._shown = len(self._waiting)
            self._waiting_gauge.set(self._shown)

    def _grant(self) -> None:
        while place := self._next():
            del self._waiting[place]
            self._used[place.address] += 1
            self._in_flight.inc()
            place.is_held = True
            place.granted.set_result(None)

    def _next(self) -> Place | None:
        """Return the next waiting place for which there is a slot."""
        first = min(self._waiting, key=lambda place: self._used[place.address], default=None)
        if first is None:
            return None
        limit = self._slots if self._used[first.address] else self._with_reserve
        return first if self._used.total() < limit else None

    def _send_one_away(self) -> None:
        waiting = Counter(place.address for place in self._waiting)
        greedy = max(waiting, key=waiting.__getitem__)
        latest = next(place for place in reversed(self._waiting) if place.address == greedy)
        del self._waiting[latest]
        latest.granted.set_exception(self.refusal())
