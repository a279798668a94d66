"""Request slots and memory for bodies, and the requests that wait for them in order.

One client may take all that is free, and yet keeps nobody out: what is given back goes to the
address that has the fewest requests under way, and for addresses that have none there are a few
slots and the memory of one body beyond the others.

All of this belongs to the event loop's thread.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from prometheus_client import Gauge

from shared.errors import Overloaded
from shared.settings import Settings
from shared.units import MEGA

WAITING_PER_SLOT = 4
"""Requests that may wait, for each slot; for more it would hardly be their turn in time."""


@dataclass(eq=False)
class Place:
    """What a request needs: a slot, and memory."""

    address: str
    size: int
    """Bytes of memory."""
    granted: "asyncio.Future[None]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    is_held: bool = False


class _Limit(NamedTuple):
    """How much there is."""

    slots: int
    size: int


class WaitingRoom:
    """Gives slots and memory to requests: to the address that has least, and there in order."""

    def __init__(self, settings: Settings, in_flight: Gauge) -> None:
        """Prepare.

        Args:
            settings: how many slots, and how much memory for bodies.
            in_flight: is set to the number of slots in use.
        """
        body = int(settings.max_body_mb * MEGA)
        total = int(settings.body_budget_mb * MEGA / settings.api_processes)
        common = _Limit(settings.request_slots, max(body, total - body))
        reserve = settings.threads - settings.request_slots
        self._common = common
        self._with_reserve = _Limit(common.slots + reserve, common.size + body)
        self._max_waiting = WAITING_PER_SLOT * common.slots
        self._in_flight = in_flight
        self._slots, self._size = 0, 0
        self._slots_of: Counter[str] = Counter()
        self._waiting: dict[Place, None] = {}  # the first is the one that has waited longest

    def enter(self, address: str, size: int) -> Place:
        """Return a place, which is granted at once or later; :meth:`leave` it in any case.

        If too many wait, the latest of the address with the most has to go: its ``granted`` raises
        ``Overloaded``.

        Args:
            address: the client's.
            size: bytes of memory that the request needs.
        """
        place = Place(address, size)
        self._waiting[place] = None
        self._grant()
        if len(self._waiting) > self._max_waiting:
            self._send_one_away()
        return place

    def grow(self, place: Place, size: int) -> None:
        """Change the memory of a place that is held.

        Raises:
            Overloaded: there is no more.
        """
        others = self._size - place.size
        if others and others + size > self._common.size:
            raise self.refusal()
        self._size, place.size = others + size, size

    def leave(self, place: Place) -> None:
        """Give back what a place has; harmless when done twice."""
        self._waiting.pop(place, None)
        place.granted.cancel()
        if place.is_held:
            self._take(place, -1)
        self._grant()

    def refusal(self) -> Overloaded:
        """Return the error for a request that is not served."""
        return Overloaded(f"{self._slots} requests are under way here. Try again soon.")

    def _grant(self) -> None:
        while place := self._next():
            del self._waiting[place]
            self._take(place, 1)
            place.granted.set_result(None)

    def _next(self) -> Place | None:
        """Return the next waiting place for which there is room."""
        in_turn = sorted(self._waiting, key=lambda place: self._slots_of[place.address])
        for number, place in enumerate(in_turn):
            # Small requests do not overtake a large one for ever: only the first may use what is
            # common.
            if number == 0 and self._has_room(place, self._common):
                return place
            if not self._slots_of[place.address] and self._has_room(place, self._with_reserve):
                return place
        return None

    def _has_room(self, place: Place, limit: _Limit) -> bool:
        has_memory = not self._size or self._size + place.size <= limit.size
        return self._slots < limit.slots and has_memory

    def _take(self, place: Place, sign: int) -> None:
        self._slots += sign
        self._size += sign * place.size
        self._slots_of[place.address] += sign
        if not self._slots_of[place.address]:
            del self._slots_of[place.address]
        self._in_flight.inc(sign)
        place.is_held = sign > 0

    def _send_one_away(self) -> None:
        waiting = Counter(place.address for place in self._waiting)
        greedy = max(waiting, key=waiting.__getitem__)
        latest = next(place for place in reversed(self._waiting) if place.address == greedy)
        del self._waiting[latest]
        latest.granted.set_exception(self.refusal())
