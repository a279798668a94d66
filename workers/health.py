"""When a model process should be replaced: pure bookkeeping, no process in sight."""

from collections import deque
from enum import StrEnum
from statistics import median

from shared.catalog import EngineOptions

BASELINE_BATCHES = 5
"""First batches of a size whose median time is what later ones are compared with."""
MB = 1_000_000


class Recycle(StrEnum):
    """Why a model process was replaced; a label of logs and metrics."""

    COUNT = "count"
    MEMORY = "memory"
    SLOW = "slow"
    OPERATOR = "operator"
    OUT_OF_MEMORY = "out_of_memory"
    CRASH = "crash"
    HANG = "hang"
    DEVICE = "device"
    IDLE = "idle"


class Health:
    """Watches one model process, from its own beginning: a new process gets a new one."""

    def __init__(self, options: EngineOptions) -> None:
        self._options = options
        self._images = 0
        self._memory_baseline: int | None = None
        self._memory = 0
        self._batches = 0
        self._times: dict[int, list[float]] = {}
        self._drifts: deque[float] = deque(maxlen=options.slow_batches)

    def note(self, images: int, seconds: float, memory: int) -> None:
        """Take note of a batch.

        Args:
            images: size of the batch.
            seconds: time the model took.
            memory: bytes in use by the process after it, on the device or resident.
        """
        self._images += images
        self._batches += 1
        self._memory = memory
        if self._batches == BASELINE_BATCHES:
            self._memory_baseline = memory
        # Batches are compared with batches of the same size: cost is not linear in size.
        baseline = self._times.setdefault(images, [])
        if len(baseline) < BASELINE_BATCHES:
            baseline.append(seconds)
        else:
            self._drifts.append(seconds / max(median(baseline), 1e-6))

    def verdict(self) -> Recycle | None:
        """Say whether the process should be replaced, and why."""
        options = self._options
        if options.recycle_images and self._images >= options.recycle_images:
            return Recycle.COUNT
        if self._memory_baseline is not None and options.recycle_growth_mb:
            growth = self._memory - self._memory_baseline
            if growth > options.recycle_growth_mb * MB:
                return Recycle.MEMORY
        full = len(self._drifts) == options.slow_batches
        if options.slow_factor and full and median(self._drifts) > options.slow_factor:
            return Recycle.SLOW
        return None
