"""Finds the batch size with which a device answers most images per second, while it serves.

It doubles the size as long as that pays, as batches stay within a target time, and as the next one
will fit in memory. What it finds holds for a while; then it tries again. Bookkeeping only.
"""

import time
from enum import StrEnum
from statistics import median
from typing import NamedTuple

import structlog

from workers.model.memory import Memory

FIRST = 8
"""Size of the first batches."""
MOST = 128
"""Largest size: on an H100, 64 images take most captioners hardly longer than 32."""
WARM_UP = 2
"""How many batches of a new size do not count: one allocates memory, and one records graphs."""
SAMPLES = 5
"""How many batches the median is taken of; what it says holds for minutes."""
LEAST_GAIN = 1.05
"""How many times as many images per second a doubled batch must answer."""
TOLERANCE = 1.2
"""How many times the target a batch may take before a size that was found is given up."""
HOLDS_S = 300.0
"""How long a size holds; the device may be shared, and others may leave."""
ROOM = 0.9
"""Share of the memory that a batch may fill."""

log = structlog.get_logger(__name__)


class SizeCause(StrEnum):
    """Why batches are as large as they are; a label in metrics."""

    PINNED = "pinned"
    CPU = "cpu"
    MEASURING = "measuring"
    GROWING = "growing"
    LARGEST = "largest"
    NO_FASTER = "no_faster"
    TARGET = "target"
    MEMORY = "memory"
    TOO_SLOW = "too_slow"


class _Point(NamedTuple):
    """What batches of one size take."""

    seconds: float
    images_per_s: float
    peak: int


class Climb:
    """The search for one kind of batches."""

    def __init__(self, target_s: float) -> None:
        """Begin with :data:`FIRST` images.

        Args:
            target_s: how long a batch may take.
        """
        self.most = FIRST
        self.cause, self.reason = SizeCause.MEASURING, "being measured"
        self._target_s = target_s
        self._points: dict[int, _Point] = {}
        self._batches: list[tuple[int, float, Memory]] = []
        self._holds_until: float | None = None

    @property
    def tried(self) -> int:
        """The largest size that has succeeded."""
        return max(self._points, default=0)

    def record(self, images: int, seconds: float, memory: Memory) -> None:
        """Record a batch; one that is far from full says nothing, unless it takes too long."""
        if not self._is_nearly_full(images) and seconds <= TOLERANCE * self._target_s:
            self._batches = [batch for batch in self._batches if self._is_nearly_full(batch[0])]
            return
        self._batches.append((images, seconds, memory))
        if len(self._batches) < WARM_UP + SAMPLES:
            return
        measured, self._batches = self._batches[WARM_UP:], []
        point = _Point(
            median(seconds for _, seconds, _ in measured),
            median(images / max(seconds, 1e-6) for images, seconds, _ in measured),
            max(memory.peak for _, _, memory in measured),
        )
        self._points[self.most] = point
        if self._holds_until is None:
            self._climb(point, memory)
        elif point.seconds > TOLERANCE * self._target_s:
            self._step_back(SizeCause.TARGET, f"a batch of {self.most} takes {point.seconds:.1f} s")
        elif time.monotonic() > self._holds_until:
            self._points = {
                size: point for size, point in self._points.items() if size <= self.most
            }
            self._grow(point, memory)

    def step_back(self, size: int, cause: SizeCause, reason: str) -> None:
        """Go on with ``size`` images for a while, because larger batches failed."""
        self.most = size
        self._hold(cause, reason)

    def _climb(self, point: _Point, memory: Memory) -> None:
        half = self._points.get(self.most // 2)
        if point.seconds > self._target_s:
            self._step_back(SizeCause.TARGET, f"a batch of {self.most} takes {point.seconds:.1f} s")
        elif half and point.images_per_s < LEAST_GAIN * half.images_per_s:
            self._step_back(SizeCause.NO_FASTER, f"{self.most} are no faster")
        else:
            self._grow(point, memory)

    def _grow(self, point: _Point, memory: Memory) -> None:
        """Double the size, unless time or memory would not be enough for that."""
        larger = 2 * self.most
        # Both grow by the same amount for each image; nothing is known before the first doubling.
        half = self._points.get(self.most // 2, point)
        seconds = point.seconds + 2 * (point.seconds - half.seconds)
        peak = point.peak + 2 * (point.peak - half.peak)
        if larger > MOST:
            self._hold(SizeCause.LARGEST, "no batch is larger")
        elif seconds > self._target_s:
            self._hold(SizeCause.TARGET, f"a batch of {larger} would take {seconds:.1f} s")
        elif peak > ROOM * (memory.used + memory.free) > 0:
            self._hold(SizeCause.MEMORY, f"a batch of {larger} would not fit in memory")
        else:
            self.most, self._holds_until = larger, None
            self.cause = SizeCause.GROWING
            self.reason = f"growing, as {point.images_per_s:.0f} images/s is more than before"
            log.info("larger batches", max_batch=self.most, reason=self.reason)

    def _is_nearly_full(self, images: int) -> bool:
        return 4 * images >= 3 * self.most

    def _step_back(self, cause: SizeCause, reason: str) -> None:
        self.step_back(max(1, self.most // 2), cause, reason)

    def _hold(self, cause: SizeCause, reason: str) -> None:
        point = self._points.get(self.most)
        self.cause = cause
        self.reason = f"{point.images_per_s:.0f} images/s; {reason}" if point else reason
        self._holds_until = time.monotonic() + HOLDS_S
        self._batches = []
        log.info("batch size found", max_batch=self.most, reason=self.reason)
