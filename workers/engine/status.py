"""What an engine is doing and has done, for heartbeats and metrics."""

import threading
from collections import Counter
from collections.abc import Sequence

import structlog

from shared.messages import JobTimes
from shared.redis.ollama import OllamaHost
from shared.redis.presence import EngineStatus
from shared.units import MEGA
from shared.vocabulary import WorkerState
from workers.engine.sizing import BatchSizer
from workers.engine.times import RecentBatches
from workers.model.energy import Card
from workers.model.memory import Memory

log = structlog.get_logger(__name__)


class StatusTracker:
    """Updated in the engine's thread; others read :attr:`status`.

    That is made when somebody asks, which is some ten times a second, and not for each batch.
    """

    def __init__(self, sizer: BatchSizer) -> None:
        """Take the sizes of batches from ``sizer`` whenever they are published."""
        self._sizer = sizer
        self.memory, self.card = Memory(), Card()
        self._state, self._reason, self._last_error = WorkerState.LOADING, "", ""
        self._pid, self._load_s, self._loads, self._images = 0, 0.0, 0, 0
        self._batches: Counter[int] = Counter()
        self._recycles: Counter[str] = Counter()
        self._recent = RecentBatches()
        self._job_seconds = dict.fromkeys(JobTimes._fields, 0.0)
        self._device = self.acceleration = ""
        self.hosts: tuple[OllamaHost, ...] = ()
        self._busy = False
        self._lock = threading.Lock()
        self._published: EngineStatus | None = EngineStatus()
        """What is told; ``None``: it has changed since."""

    @property
    def status(self) -> EngineStatus:
        """All that is told, for any thread."""
        with self._lock:
            if self._published is None:
                self._published = self._make_status()
            return self._published

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

    def loaded(self, pid: int, seconds: float, memory: Memory, device: str) -> None:
        """Record that a process has loaded the model on a device."""
        self._pid, self._load_s, self.memory, self._device = pid, seconds, memory, device
        self._loads += 1
        self.publish()

    def batch_started(self) -> None:
        """Record that a batch runs."""
        self._busy = True
        self.publish()

    def batch_ended(self) -> None:
        """Record that no batch runs."""
        self._busy = False
        self.publish()

    def record_batch(self, images: int, seconds: float, times: Sequence[JobTimes]) -> None:
        """Record a batch that was answered.

        Args:
            images: its size.
            seconds: how long the model ran.
            times: of each of its jobs.
        """
        with self._lock:
            self._batches[len(times)] += 1
            self._images += images
            self._recent.add(images, seconds, times)
            for phase, whole in zip(JobTimes._fields, zip(*times, strict=True), strict=True):
                self._job_seconds[phase] += sum(whole)
        self.publish()

    def record_restart(self, reason: str, details: str = "") -> None:
        """Record that the model process was replaced, and why."""
        with self._lock:
            self._recycles[reason] += 1
            self._pid = 0
            if details:
                self._last_error = f"{reason}: {details}"
        self.publish()

    def tick(self) -> None:
        """Let the rates fall while nothing happens; call about once a second."""
        with self._lock:
            changed = self._recent.forget_old()
        if changed:
            self.publish()

    def publish(self) -> None:
        """Have others see what has changed."""
        with self._lock:
            self._published = None

    def _make_status(self) -> EngineStatus:
        self._recent.forget_old()
        times, running = self._recent.job_times, bool(self._pid)
        return EngineStatus(
            state=self._shown_state(),
            reason=self._reason or (self._sizer.reason if self._sizer.is_reduced else ""),
            model_pid=self._pid,
            max_batch=self._sizer.most,
            max_batch_reason=self._sizer.reason,
            max_batch_cause=self._sizer.cause,
            images=self._images,
            images_per_s=round(self._recent.images_per_s, 2),
            batches=dict(sorted(self._batches.items())),
            device=self._device,
            acceleration=self.acceleration,
            utilisation=round(self._recent.utilisation, 3),
            queue_ms=_ms(times.queue),
            prepare_ms=_ms(self._recent.prepare_s),
            predict_ms=_ms(times.predict),
            job_seconds={phase: round(s, 3) for phase, s in self._job_seconds.items()},
            memory_mb=round(self.memory.used / MEGA) if running else 0,
            memory_peak_mb=round(self.memory.peak / MEGA) if running else 0,
            memory_limit_mb=round(self.memory.limit / MEGA) if running else 0,
            card=self.card.uuid,
            card_energy_j=round(self.card.energy_j, 3),
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


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 1)
