"""Admission by memory: refuses requests whose images would fill Redis."""

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


@contextmanager
def room_for(memory: Memory, size: int, deadline: float) -> Iterator[None]:
    """Hold room in Redis while ``size`` bytes are stored there.

    Args:
        memory: of Redis.
        size: bytes that a request is about to store.
        deadline: when the request must be answered, in seconds since the epoch.

    Raises:
        TooLarge: there never is so much room.
        Overloaded: there is none now.
        BrokerUnavailable: Redis does not serve.
    """
    until = time.time() + ROOM_S
    while not (reservation := _reserve(memory, size, deadline)).granted:
        if time.time() + POLL_S > until:
            raise Overloaded("Redis has no room for one more request's images. Try again soon.")
        time.sleep(POLL_S)
    try:
        yield
    finally:
        clean_up(partial(memory.release, reservation))


def _reserve(memory: Memory, size: int, deadline: float) -> Reservation:
    reservation = retry_while_unreachable(partial(memory.reserve, size), deadline)
    most = reservation.limit_bytes
    if not reservation.granted and size > most:
        raise TooLarge(
            f"The request takes {size / MEGA:.0f} MB in Redis, and all requests together may take "
            f"{most / MEGA:.0f} MB. The operator can raise maxmemory."
        )
    return reservation
