"""What is learnt from each batch: how long such batches take, and how large they may be."""

import time

from shared.messages import JobTimes
from shared.model_spec import EngineOptions
from workers.engine.job import EngineJob
from workers.engine.pace import Pace, kind_of
from workers.engine.sizing import BatchSizer
from workers.engine.status import StatusTracker
from workers.engine.wear import BatchSize, WearMonitor
from workers.model.protocol import BatchReport


class Experience:
    """Knows for how long a batch may run, and hands the figures of each to all that keep some."""

    def __init__(
        self,
        options: EngineOptions,
        batch_timeout_s: float,
        sizer: BatchSizer,
        tracker: StatusTracker,
    ) -> None:
        """Know nothing yet.

        Args:
            options: of the row.
            batch_timeout_s: how long a batch may take, unless the row says something else.
            sizer: learns how large batches may be.
            tracker: publishes the figures.
        """
        self._pace = Pace(options.batch_timeout_s or batch_timeout_s)
        self._sizer, self._tracker = sizer, tracker

    def timeout_s(self, batch: list[EngineJob]) -> float:
        """Return the seconds after which a batch hangs."""
        images = sum(len(job.images) for job in batch)
        return self._pace.timeout_s(kind_of(batch[0].instructions), images)

    def fixed_s(self, batch: list[EngineJob]) -> float | None:
        """Return what such batches take besides the time for each image; ``None``: not known."""
        return self._pace.fixed_s(kind_of(batch[0].instructions))

    def record(
        self, batch: list[EngineJob], report: BatchReport, begun_at: float, wear: WearMonitor
    ) -> None:
        """Learn from a batch that was answered.

        Args:
            batch: its jobs, which get their times.
            report: what the process says of it.
            begun_at: when the process could begin it, as far as is known, in ``time.monotonic()``.
            wear: of the process.
        """
        now, kind = time.monotonic(), kind_of(batch[0].instructions)
        for job in batch:
            job.times = JobTimes.split(now - job.accepted_at, job.prepare_s, report.seconds)
        # It may have begun before the engine read of the end of the last one.
        self._pace.record(kind, report.images, max(report.seconds, now - begun_at))
        self._sizer.succeeded(report.images, report.seconds, report.memory)
        self._tracker.memory, self._tracker.acceleration = report.memory, report.acceleration
        self._tracker.card = report.card
        times = [job.times for job in batch]
        self._tracker.record_batch(report.images, report.seconds, times)
        size = BatchSize(report.images, report.steps)
        wear.record(kind, size, report.alone_seconds, report.memory)
