"""When a model process has worn out and should be replaced. Bookkeeping only."""

import math
from collections import deque
from collections.abc import Hashable
from enum import StrEnum
from statistics import median
from typing import NamedTuple

from shared.model_spec import EngineOptions
from shared.units import MEGA
from workers.model.memory import Memory

BASELINE_BATCHES = 5
"""How many first batches of a kind make the median that later ones are compared with."""
MAX_KINDS = 500
"""How many kinds of batches are told apart: clients choose part of what makes a kind."""


class RestartReason(StrEnum):
    """Why a model process was replaced; a label in logs and metrics."""

    COUNT = "count"
    MEMORY = "memory"
    SLOW = "slow"
    OPERATOR = "operator"
    OUT_OF_MEMORY = "out_of_memory"
    CRASH = "crash"
    HANG = "hang"
    DEVICE = "device"
    IDLE = "idle"
    CANCELLED = "cancelled"


class BatchSize(NamedTuple):
    """What a batch needs memory and time for."""

    images: int
    steps: int = 0
    """Tokens that were generated one after the other; 0: unknown, or no text."""

    @property
    def alike(self) -> tuple[int, int]:
        """Equal for batches whose images differ by a fifth at most, and their steps, too."""
        return _bucket(self.images, 4), _bucket(self.steps, 4)

    def union(self, other: "BatchSize") -> "BatchSize":
        """Return the size with the more images and the more steps of both."""
        return BatchSize(max(self.images, other.images), max(self.steps, other.steps))


def _bucket(count: int, per_doubling: int) -> int:
    return round(per_doubling * math.log2(count)) if count else -1


class WearMonitor:
    """Compares one model process with its own beginning; each process has a monitor of its own."""

    def __init__(self, options: EngineOptions) -> None:
        self._options = options
        self._images = 0
        self._baseline: Memory | None = None
        self._memory = Memory()
        self._largest = BatchSize(0, 0)
        self._batches_of_largest = 0
        self._times: dict[Hashable, list[float]] = {}
        self._drifts: deque[float] = deque(maxlen=options.slow_batches)

    def record(self, kind: Hashable, size: BatchSize, seconds: float, memory: Memory) -> None:
        """Record a batch.

        Args:
            kind: what its time depends on besides its size, such as the tasks.
            size: size of the batch.
            seconds: time that the model took, without what a busy host made of it: a new process
                would be no faster there, and loading it would keep the host busier still.
            memory: memory of the process afterwards.
        """
        self._images += size.images
        self._record_memory(size, memory)
        key = (kind, size.alike)
        if key not in self._times and len(self._times) >= MAX_KINDS:
            return
        baseline = self._times.setdefault(key, [])
        if len(baseline) < BASELINE_BATCHES:
            baseline.append(seconds)
        else:
            self._drifts.append(seconds / max(median(baseline), 1e-6))

    def _record_memory(self, size: BatchSize, memory: Memory) -> None:
        """Begin anew with each larger batch: it needs memory that the process then keeps."""
        largest = self._largest.union(size)
        if largest.alike != self._largest.alike:
            self._baseline, self._batches_of_largest = None, 0
        self._largest, self._memory = largest, memory
        self._batches_of_largest += 1
        if self._batches_of_largest == BASELINE_BATCHES:
            self._baseline = memory

    def restart_reason(self) -> RestartReason | None:
        """Return why the process should be replaced; ``None``: it need not be."""
        options = self._options
        if options.recycle_images and self._images >= options.recycle_images:
            return RestartReason.COUNT
        if options.recycle_growth_mb and self._growth() > options.recycle_growth_mb * MEGA:
            return RestartReason.MEMORY
        full = len(self._drifts) == options.slow_batches
        if options.slow_factor and full and median(self._drifts) > options.slow_factor:
            return RestartReason.SLOW
        return None

    def _growth(self) -> int:
        """Return by how many bytes the device's memory or the host's grew, whichever is more."""
        if self._baseline is None:
            return 0
        return max(
            self._memory.used - self._baseline.used,
            self._memory.resident - self._baseline.resident,
        )
