"""When the next batch begins and which jobs are in it; their images are prepared before that."""

import time
from collections.abc import Sequence

from workers.engine.batching import BatchQueue
from workers.engine.job import EngineJob
from workers.engine.linger import Linger
from workers.engine.lookahead import Lookahead
from workers.engine.pace import kind_of
from workers.engine.process import ModelProcess
from workers.engine.sizing import BatchSizer

BATCHES_AHEAD = 2
"""For how many batches images are prepared in advance; a worker holds no more jobs."""


class BatchFormer:
    """Forms batches of the jobs that wait."""

    def __init__(self, queue: BatchQueue, sizer: BatchSizer, lookahead: Lookahead) -> None:
        """Take jobs from ``queue``, as many as ``sizer`` says, once ``lookahead`` has them."""
        self._queue, self._sizer, self._lookahead = queue, sizer, lookahead
        self._linger = Linger()
        self._last_batch_s = 0.0

    def lingers_s(self) -> float:
        """Return for how many seconds the next batch waits for the clients of the last one."""
        return self._linger.remaining(len(self._queue), time.monotonic())

    def waits_s(self) -> float:
        """Return the seconds until the jobs that wait may begin; 0: no time is known."""
        if not len(self._queue):
            return 0.0
        return self.lingers_s() or self._lookahead.remaining(time.monotonic())

    def job_arrived(self) -> None:
        """Note that a job has come."""
        self._linger.arrived(time.monotonic())

    def batch_ended(self, jobs: int, seconds: float, fixed_s: float) -> None:
        """Note that a batch has ended.

        Args:
            jobs: how many it had.
            seconds: how long it took.
            fixed_s: what of that does not depend on the number of images, as far as is known.
        """
        waiting, most = len(self._queue), self._sizer.most
        self._linger.start(jobs, waiting, most, seconds, fixed_s, time.monotonic())
        self._last_batch_s = seconds

    def prepare_ahead(self, process: ModelProcess, probe: EngineJob | None) -> None:
        """Have the images of the next batches prepared."""
        if not process.facts.preparation:
            return
        ahead = self._queue.next_jobs(BATCHES_AHEAD * self._sizer.most)
        probes: Sequence[EngineJob] = [probe] if probe else []
        self._lookahead.prepare((*probes, *ahead), process.facts.preparation)
        for job in self._queue.take_unreadable():
            if job.fault:
                job.refuse(job.fault)

    def hold_ahead(self, process: ModelProcess) -> None:
        """Send the process what is prepared for the next batch; the rest comes with the batch."""
        for job in self._queue.next_jobs(self._sizer.most):
            if job.is_prepared:
                process.hold(job)

    def take_batch(self, process: ModelProcess) -> list[EngineJob]:
        """Take the next batch off the queue; no job, if it is worth waiting for one."""
        if instructions := self._queue.next_instructions():
            self._sizer.turn_to(kind_of(instructions), on_accelerator=process.facts.on_accelerator)
        while batch := self._queue.next_batch(self._sizer.most):
            if self._lookahead.patience(batch, self._last_batch_s, time.monotonic()):
                return []
            if prepared := [job for job in batch if job.is_prepared]:
                self._queue.take(prepared)
                return prepared
        return []
