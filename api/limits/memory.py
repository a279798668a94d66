"""Admission by memory: refuses requests whose images would fill Redis."""

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from api.redis_retry import clean_up, retry_while_unreachable
from shared.errors import Overloaded, TooLarge
from shared.redis.memory import Memory, Reservation
from shared.units import MEGA

ROOM_S = 1.0
"""How long a request waits at most until others leave room. It holds a request slot meanwhile."""
POLL_S = 0.1
REMEMBERED_S = 0.25
"""How long this process may use a part of what was left without asking again."""
REMEMBERED_PART = 1 / 16
"""Which part. Other processes have theirs, and half of Redis' memory is not for requests at all."""


class Room:
    """Room in Redis, as far as this process knows; its threads share it."""

    def __init__(self, memory: Memory, share: float = 1.0) -> None:
        """Take the room that ``memory`` has, or leave some of it to others.

        Args:
            memory: Redis' memory.
            share: how much of the room may be taken, by whomsoever, when a request is admitted.
        """
        self._memory, self._share, self._lock = memory, share, threading.Lock()
        self._known_bytes, self._known_until = 0.0, -math.inf

    @contextmanager
    def hold(self, size: int, deadline: float) -> Iterator[None]:
        """Hold room in Redis while ``size`` bytes are stored there.

        Args:
            size: bytes that a request is about to store.
            deadline: when the request must be answered, in seconds since the epoch.

        Raises:
            TooLarge: there never is so much room.
            Overloaded: there is none now.
            BrokerUnavailable: Redis does not serve.
        """
        if self._take_known(size):
            yield
            return
        until = time.time() + ROOM_S
        while not (reservation := self._reserve(size, deadline)).granted:
            if time.time() + POLL_S > until:
                raise Overloaded("Redis has no room for one more request's images. Try again soon.")
            time.sleep(POLL_S)
        self._remember(reservation)
        try:
            yield
        finally:
            clean_up(partial(self._memory.release, reservation))

    def _take_known(self, size: int) -> bool:
        with self._lock:
            if size > self._known_bytes or time.monotonic() > self._known_until:
                return False
            self._known_bytes -= size
            return True

    def _remember(self, reservation: Reservation) -> None:
        left = reservation.left_bytes if reservation.limit_bytes else math.inf
        with self._lock:
            self._known_bytes = left * REMEMBERED_PART
            self._known_until = time.monotonic() + REMEMBERED_S

    def _reserve(self, size: int, deadline: float) -> Reservation:
        reserve = partial(self._memory.reserve, size, self._share)
        reservation = retry_while_unreachable(reserve, deadline)
        most = reservation.limit_bytes
        if not reservation.granted and size > most:
            raise TooLarge(
                f"The request takes {size / MEGA:.0f} MB in Redis, and all requests together may "
                f"take {most / MEGA:.0f} MB. The operator can raise maxmemory."
            )
        return reservation
