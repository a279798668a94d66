"""Where the time of jobs goes, and how busy the model is."""

import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from shared.messages import JobTimes

WINDOW_S = 60.0
"""Span over which rates and means are taken."""


class _Sums(NamedTuple):
    """What is added up over batches."""

    images: float = 0.0
    busy_s: float = 0.0
    jobs: float = 0.0
    queue_s: float = 0.0
    prepare_s: float = 0.0
    predict_s: float = 0.0

    def plus(self, other: "_Sums", sign: int = 1) -> "_Sums":
        return _Sums(*(one + sign * two for one, two in zip(self, other, strict=True)))


class RecentBatches:
    """Sums over the batches of the last :data:`WINDOW_S`; each step costs the same."""

    def __init__(self) -> None:
        self._batches: deque[tuple[float, _Sums]] = deque()
        self._sums = _Sums()
        self._since = time.monotonic()

    def add(self, images: int, seconds: float, times: Sequence[JobTimes]) -> None:
        """Add a batch that has just ended.

        Args:
            images: its size.
            seconds: how long the model ran.
            times: of each of its jobs.
        """
        phases = (sum(phase) for phase in zip(*times, strict=True))
        batch = _Sums(images, seconds, len(times), *phases)
        self._batches.append((time.monotonic(), batch))
        self._sums = self._sums.plus(batch)

    def forget_old(self) -> bool:
        """Forget what is older than the window; return whether there was something."""
        horizon, before = time.monotonic() - WINDOW_S, len(self._batches)
        while self._batches and self._batches[0][0] < horizon:
            self._sums = self._sums.plus(self._batches.popleft()[1], -1)
        if not self._batches:
            self._sums = _Sums()  # without what rounding has left
        return len(self._batches) < before

    @property
    def images_per_s(self) -> float:
        """Images answered per second."""
        return self._sums.images / WINDOW_S

    @property
    def utilisation(self) -> float:
        """Share of the time that the model computed, 0 to 1."""
        span = min(WINDOW_S, max(1e-6, time.monotonic() - self._since))
        return min(1.0, max(0.0, self._sums.busy_s / span))

    @property
    def job_times(self) -> JobTimes:
        """Mean times of the jobs; 0 without any."""
        sums, jobs = self._sums, max(1.0, self._sums.jobs)
        return JobTimes(sums.queue_s / jobs, sums.prepare_s / jobs, sums.predict_s / jobs)

    @property
    def prepare_s(self) -> float:
        """Mean seconds that it took to prepare one image; 0 without any."""
        return self._sums.prepare_s / max(1.0, self._sums.images)
