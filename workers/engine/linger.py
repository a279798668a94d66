"""How long the next batch waits for the clients of the last one."""

from collections import deque
from statistics import median

SHARE = 0.05
"""How long to linger at least, as a share of the last batch's time; but not at all on an
accelerator where that is known not to pay."""
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
    number of images. Clients that come back sooner than that are worth waiting for. To wait for
    others is a loss on an accelerator, which stands still. The cores do not: they have requests and
    images to work on, which a batch would slow down.
    """

    def __init__(self) -> None:
        self._expected, self._missing = 0, 0
        self._ended_at = self._until = 0.0
        self._returns_s: deque[float] = deque(maxlen=SAMPLES)

    def start(
        self,
        expected: int,
        waiting: int,
        seconds: float,
        now: float,
        *,
        fixed_s: float | None,
        on_accelerator: bool,
    ) -> None:
        """Start the delay, at the end of a batch.

        Args:
            expected: jobs of the next batch, if the clients that are answered now join it.
            waiting: jobs that wait.
            seconds: how long the batch took.
            now: the time in seconds, here and below.
            fixed_s: how much of it does not depend on the number of images; ``None``: not known.
            on_accelerator: whether the model computes elsewhere than on the cores.
        """
        if self._missing > 0:  # those of the batch before have not come back until now
            self._returns_s.append(now - self._ended_at)
        self._expected, self._missing, self._ended_at = expected, expected - waiting, now
        returns_s = median(self._returns_s) if self._returns_s else LONGEST_S
        pays_s = SPARE * returns_s if returns_s < (fixed_s or 0.0) else 0.0
        if fixed_s is None or not on_accelerator:
            pays_s = max(SHARE * seconds, pays_s)
        self._until = now + min(pays_s, LONGEST_S)

    def arrived(self, now: float) -> None:
        """Note that a job has come."""
        self._missing -= 1
        if self._missing == 0:
            self._returns_s.append(now - self._ended_at)

    def remaining(self, waiting: int, now: float) -> float:
        """Return the seconds left with so many jobs waiting; 0: begin the batch."""
        return 0.0 if waiting >= self._expected else max(0.0, self._until - now)
