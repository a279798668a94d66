"""When a model process has worn out and should be replaced. Bookkeeping only."""

from collections import deque
from collections.abc import Hashable
from enum import StrEnum
from statistics import median

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


class WearMonitor:
    """Compares one model process with its own beginning; each process has a monitor of its own."""

    def __init__(self, options: EngineOptions) -> None:
        self._options = options
        self._images = 0
        self._baseline: Memory | None = None
        self._memory = Memory()
        self._batches = 0
        self._times: dict[Hashable, list[float]] = {}
        self._drifts: deque[float] = deque(maxlen=options.slow_batches)

    def record(self, kind: Hashable, images: int, seconds: float, memory: Memory) -> None:
        """Record a batch.

        Args:
            kind: what its time depends on besides ``images``, such as the tasks.
            images: size of the batch.
            seconds: time that the model took.
            memory: memory of the process afterwards.
        """
        self._images += images
        self._batches += 1
        self._memory = memory
        if self._batches == BASELINE_BATCHES:
            self._baseline = memory
        # Batches are compared with batches of the same size: cost is not linear in size.
        key = (kind, images)
        if key not in self._times and len(self._times) >= MAX_KINDS:
            return
        baseline = self._times.setdefault(key, [])
        if len(baseline) < BASELINE_BATCHES:
            baseline.append(seconds)
        else:
            self._drifts.append(seconds / max(median(baseline), 1e-6))

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
