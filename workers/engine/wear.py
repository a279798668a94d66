"""When a model process should be replaced: pure bookkeeping, no process in sight."""

from collections import deque
from collections.abc import Hashable
from enum import StrEnum
from statistics import median

from shared.model_spec import EngineOptions
from shared.units import MEGA
from workers.model.memory import Memory

BASELINE_BATCHES = 5
"""First batches of a kind whose median time is what later ones are compared with."""
MOST_KINDS = 500
"""Kinds of batches that are told apart; clients choose some of what makes a kind."""


class RestartReason(StrEnum):
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


class WearMonitor:
    """Watches one model process, from its own beginning: a new process gets a new one."""

    def __init__(self, options: EngineOptions) -> None:
        self._options = options
        self._images = 0
        self._baseline: Memory | None = None
        self._memory = Memory()
        self._batches = 0
        self._times: dict[Hashable, list[float]] = {}
        self._drifts: deque[float] = deque(maxlen=options.slow_batches)

    def note(self, kind: Hashable, images: int, seconds: float, memory: Memory) -> None:
        """Take note of a batch.

        Args:
            kind: of what else than ``images`` its time depends on, such as the tasks.
            images: size of the batch.
            seconds: time the model took.
            memory: of the process after it.
        """
        self._images += images
        self._batches += 1
        self._memory = memory
        if self._batches == BASELINE_BATCHES:
            self._baseline = memory
        # Batches are compared with batches of the same size: cost is not linear in size.
        key = (kind, images)
        if key not in self._times and len(self._times) >= MOST_KINDS:
            return
        baseline = self._times.setdefault(key, [])
        if len(baseline) < BASELINE_BATCHES:
            baseline.append(seconds)
        else:
            self._drifts.append(seconds / max(median(baseline), 1e-6))

    def verdict(self) -> RestartReason | None:
        """Say whether the process should be replaced, and why."""
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
        """Return bytes: of the device's memory or the host's, whichever grew more."""
        if self._baseline is None:
            return 0
        return max(
            self._memory.used - self._baseline.used,
            self._memory.resident - self._baseline.resident,
        )
