"""Request slots: admit fewer requests than there are threads, so that health routes answer."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Gauge

from shared.errors import Overloaded


class Slots:
    """A bounded number of requests at once; the next one is refused, not queued."""

    def __init__(self, count: int, in_flight: Gauge) -> None:
        """Begin with all free; ``in_flight`` is told how many are taken."""
        self._in_flight = in_flight
        self._free = threading.BoundedSemaphore(count)
        self._count = count

    @contextmanager
    def taken(self) -> Iterator[None]:
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
