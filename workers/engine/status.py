"""What an engine is doing and has done, for heartbeats and metrics."""

import time
from collections import Counter, deque

import structlog

from shared.redis.ollama import OllamaHost
from shared.redis.presence import EngineStatus
from shared.units import MEGA
from shared.vocabulary import WorkerState
from workers.engine.sizing import BatchSizer
from workers.model.memory import Memory

log = structlog.get_logger(__name__)

WINDOW_S = 60.0
"""Span over which the rate is taken."""


class StatusTracker:
    """Updated in the engine's thread; others read :attr:`status`, which is replaced as a whole."""

    def __init__(self, sizer: BatchSizer) -> None:
        """Take the sizes of batches from ``sizer`` whenever they are published."""
        self._sizer = sizer
        self.memory = Memory()
        self._state, self._reason, self._last_error = WorkerState.LOADING, "", ""
        self._pid, self._load_s, self._loads, self._images = 0, 0.0, 0, 0
        self._batches: Counter[int] = Counter()
        self._recycles: Counter[str] = Counter()
        self._recent: deque[tuple[float, int]] = deque()
        self._recent_images = 0
        self.hosts: tuple[OllamaHost, ...] = ()
        self._busy = False
        self.status = EngineStatus()

    @property
    def state(self) -> WorkerState:
        """State of the model."""
        return self._state

    def set_state(self, state: WorkerState, reason: str = "") -> None:
        """Enter a state."""
        if (state, reason) != (self._state, self._reason):
            log.info("model state", state=state, reason=reason)
        self._state, self._reason = state, reason
        if state == WorkerState.FAILED:
            self._last_error = reason
        self.publish()

    def loaded(self, pid: int, seconds: float, memory: Memory) -> None:
        """Record that a process has loaded the model."""
        self._pid, self._load_s, self.memory = pid, seconds, memory
        self._loads += 1
        self.publish()

    def batch_started(self) -> None:
        """Record that a batch runs."""
        self._busy = True
        self.publish()

    def batch_ended(self) -> None:
        """Record that no batch runs."""
        self._busy = False

    def record_batch(self, jobs: int, images: int, memory: Memory) -> None:
        """Record a batch of ``jobs`` jobs with ``images`` images that was answered."""
        self._batches[jobs] += 1
        self._images += images
        self.memory = memory
        self._recent.append((time.monotonic(), images))
        self._recent_images += images
        self.publish()

    def record_restart(self, reason: str, details: str = "") -> None:
        """Record that the model process was replaced, and why."""
        self._recycles[reason] += 1
        self._pid = 0
        if details:
            self._last_error = f"{reason}: {details}"
        self.publish()

    def tick(self) -> None:
        """Let the rate fall while nothing happens; call about once a second."""
        if self._recent and self._recent[0][0] < time.monotonic() - WINDOW_S:
            self.publish()

    def publish(self) -> None:
        """Make the numbers visible to other threads."""
        horizon = time.monotonic() - WINDOW_S
        while self._recent and self._recent[0][0] < horizon:
            self._recent_images -= self._recent.popleft()[1]
        self.status = EngineStatus(
            state=self._shown_state(),
            reason=self._reason or (self._sizer.reason if self._sizer.is_reduced else ""),
            model_pid=self._pid,
            max_batch=self._sizer.most,
            max_batch_reason=self._sizer.reason,
            images=self._images,
            images_per_s=round(self._recent_images / WINDOW_S, 2),
            batches=dict(sorted(self._batches.items())),
            memory_mb=round(self.memory.used / MEGA) if self._pid else 0,
            load_s=round(self._load_s, 2),
            loads=self._loads,
            recycles=dict(self._recycles),
            last_error=self._last_error,
            hosts=self.hosts,
        )

    def _shown_state(self) -> WorkerState:
        if self._state != WorkerState.READY:
            return self._state
        if self._sizer.is_reduced:
            return WorkerState.DEGRADED
        return WorkerState.BUSY if self._busy else WorkerState.READY
