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
from workers.model.protocol import ModelFacts

BATCHES_AHEAD = 2
"""For how many batches images are prepared in advance; a worker holds no more jobs."""
PATIENCE_SHARE = 0.5
"""How long jobs wait for those that came with them, as a share of the last batch's time."""


class BatchFormer:
    """Forms batches of the jobs that wait."""

    def __init__(self, queue: BatchQueue, sizer: BatchSizer, lookahead: Lookahead) -> None:
        """Take jobs from ``queue``, as many as ``sizer`` says, once ``lookahead`` has them."""
        self._queue, self._sizer, self._lookahead = queue, sizer, lookahead
        self._linger = Linger()
        self._patience_s = 0.0
        """How long the next batch may wait for images."""
        self._has_waited = False
        """Whether the next batch has waited for images once."""
        self._seen: object = None
        """What there was when images were last looked after."""
        self._room = 0
        """How many images more the process may get in advance."""

    def waits_s(self) -> float:
        """Return for how many seconds the next batch waits; 0: not at all, or there is no job."""
        if not len(self._queue):
            return 0.0
        now = time.monotonic()
        return self._linger.remaining(len(self._queue), now) or self._lookahead.remaining(now)

    def job_arrived(self) -> None:
        """Note that a job has come."""
        self._linger.arrived(time.monotonic())

    def batch_ended(
        self, jobs: int, seconds: float, *, fixed_s: float | None, on_accelerator: bool
    ) -> None:
        """Note that a batch has ended.

        Args:
            jobs: how many it had.
            seconds: how long it took.
            fixed_s: what of that does not depend on the number of images; ``None``: not known.
            on_accelerator: whether the model computes elsewhere than on the cores.
        """
        waiting, now = len(self._queue), time.monotonic()
        expected = min(self._sizer.most, jobs + waiting)
        self._linger.start(
            expected, waiting, seconds, now, fixed_s=fixed_s, on_accelerator=on_accelerator
        )
        self._patience_s = PATIENCE_SHARE * seconds
        if on_accelerator and fixed_s is not None:  # else the cores work on the images meanwhile
            self._patience_s = min(self._patience_s, fixed_s)

    def prepare_ahead(self, process: ModelProcess, probe: EngineJob | None) -> None:
        """Have the images of the next batches prepared, and refuse jobs whose images are unusable.

        It is called at each turn of the loop, and looks through all jobs only if that is needed.
        """
        if not process.facts.preparation:
            return
        seen = process.generation, self._queue.changes, self._sizer.most, probe
        if seen == self._seen:
            return
        self._seen = seen
        ahead = self._queue.next_jobs(BATCHES_AHEAD * self._sizer.most)
        probes: Sequence[EngineJob] = [probe] if probe else []
        self._lookahead.prepare((*probes, *ahead), process.facts.preparation)
        for job in self._queue.take_unreadable():
            _refuse(job)

    def images_ready(self, process: ModelProcess, *, is_busy: bool) -> None:
        """Look after the jobs whose images have become ready.

        Args:
            process: the model's.
            is_busy: whether a batch runs, during which it gets images of the next one.
        """
        for job in self._lookahead.take_ready():
            if job not in self._queue:
                self._seen = None  # it may have been divided, and its parts are ready
            elif not job.is_prepared:  # any more: a new process needs it prepared in another way
                continue
            elif job.fault:
                self._queue.remove([job])
                _refuse(job)
            elif is_busy:
                self._hold(process, job)

    def hold_ahead(self, process: ModelProcess) -> None:
        """Send a process that begins a batch what is prepared for the one after it.

        What becomes ready meanwhile follows, and the rest comes with the batch.
        """
        self._room = self._sizer.most
        for job in self._queue.next_jobs(self._sizer.most):
            if job.is_prepared:
                self._hold(process, job)

    def _hold(self, process: ModelProcess, job: EngineJob) -> None:
        if self._room >= len(job.images):
            self._room -= len(job.images)
            process.hold(job)

    def take_batch(self, facts: ModelFacts) -> list[EngineJob]:
        """Take the next batch off the queue; no job, if it is worth waiting for one."""
        if instructions := self._queue.next_instructions():
            self._sizer.turn_to(kind_of(instructions), on_accelerator=facts.on_accelerator)
        while batch := self._queue.next_batch(self._sizer.most):
            if not self._has_waited and self._waits_for(batch):
                self._has_waited = True
                return []
            self._has_waited = False
            if prepared := [job for job in batch if job.is_prepared]:
                self._queue.take(prepared)
                return prepared
        self._has_waited = False
        return []

    def _waits_for(self, batch: Sequence[EngineJob]) -> bool:
        return self._lookahead.waits_for(batch, self._patience_s, time.monotonic())


def _refuse(job: EngineJob) -> None:
    if job.fault:
        job.refuse(job.fault)
