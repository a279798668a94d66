"""Request slots: fewer than there are HTTP threads, so that the health routes always answer."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Gauge

from shared.errors import Overloaded


class RequestSlots:
    """Limits how many requests are handled at once; a further one is refused, not queued."""

    def __init__(self, count: int, in_flight: Gauge) -> None:
        """Create the slots.

        Args:
            count: how many there are.
            in_flight: is set to the number of slots in use.
        """
        self._in_flight = in_flight
        self._free = threading.BoundedSemaphore(count)
        self._count = count

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold a slot.

        Raises:
            Overloaded: none is free.
        """
        if not self._free.acquire(blocking=False):
            raise Overloaded(f"{self._count} requests are under way here. Try again soon.")
        try:
            with self._in_flight.track_inprogress():
                yield
        finally:
            self._free.release()
