"""How long the next batch waits for the clients of the last one."""

from collections import deque
from statistics import median

SHARE = 0.05
"""How long to linger while nobody knows whether it pays, as a share of the last batch's time."""
LONGEST_S = 0.2
"""How long to linger at most."""
SPARE = 1.5
"""How many times as long as they usually take to come back clients are waited for."""
SAMPLES = 9
"""Of how many batches the usual time is the median."""


class Linger:
    """Delays the next batch briefly so that clients that just got an answer can join it.

    Clients that send their next request once they have an answer, as PhotoPrism's workers do, would
    otherwise split for good into those that are served and those that wait meanwhile, and each
    batch would be half as large as it could be. A single client is never delayed.

    Two batches instead of one cost the model the part of its time that does not depend on the
    number of images. Clients that come back sooner than that are worth waiting for.
    """

    def __init__(self) -> None:
        self._expected, self._missing = 0, 0
        self._ended_at = self._until = 0.0
        self._returns_s: deque[float] = deque(maxlen=SAMPLES)

    def start(
        self,
        answered: int,
        waiting: int,
        most: int,
        seconds: float,
        fixed_s: float | None,
        now: float,
    ) -> None:
        """Start the delay, at the end of a batch.

        Args:
            answered: jobs that are answered now.
            waiting: jobs that wait.
            most: jobs of a full batch.
            seconds: how long the batch took.
            fixed_s: how much of it does not depend on the number of images; ``None``: not known.
            now: the time in seconds, here and below.
        """
        if self._missing > 0:  # those of the batch before have not come back until now
            self._returns_s.append(now - self._ended_at)
        self._expected = min(most, answered + waiting)
        self._missing, self._ended_at = self._expected - waiting, now
        returns_s = median(self._returns_s) if self._returns_s else LONGEST_S
        if fixed_s is None:
            pays_s = SHARE * seconds
        else:
            pays_s = SPARE * returns_s if returns_s < fixed_s else 0.0
        self._until = now + min(pays_s, LONGEST_S)

    def arrived(self, now: float) -> None:
        """Note that a job has come."""
        self._missing -= 1
        if self._missing == 0:
            self._returns_s.append(now - self._ended_at)

    def remaining(self, waiting: int, now: float) -> float:
        """Return the seconds left with so many jobs waiting; 0: begin the batch."""
        return 0.0 if waiting >= self._expected else max(0.0, self._until - now)
