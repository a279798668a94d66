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
AHEAD_S = 0.25
"""How long a batch may take of which the process is told while another one runs. It cannot be taken
back: persons who come meanwhile wait for it, and a worker that stops does, too."""
PATIENCE_SHARE = 0.5
"""How long jobs wait for those that came with them, as a share of the last batch's time."""


class BatchFormer:
    """Forms batches of the jobs that wait."""

    def __init__(self, queue: BatchQueue, sizer: BatchSizer, lookahead: Lookahead) -> None:
        """Take jobs from ``queue``, as many as ``sizer`` says, once ``lookahead`` has them."""
        self._queue, self._sizer, self._lookahead = queue, sizer, lookahead
        self._linger = Linger()
        self._last_jobs = 0
        self.is_brisk = False
        """Whether the last batch was a short one on an accelerator."""
        self._patience_s = 0.0
        """How long the next batch may wait for images."""
        self.resumes_at: float | None = None
        """When to look again for a batch, in ``time.monotonic()``; ``None``: not before something
        happens."""

    def lingers(self) -> bool:
        """Return whether the next batch waits for the clients of the last one."""
        now = time.monotonic()
        remaining_s = self._linger.remaining(len(self._queue), now) if len(self._queue) else 0.0
        self.resumes_at = now + remaining_s if remaining_s else None
        return remaining_s > 0

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
        self._last_jobs, self.is_brisk = jobs, on_accelerator and seconds <= AHEAD_S
        self._patience_s = PATIENCE_SHARE * seconds
        if on_accelerator and fixed_s is not None:  # else the cores work on the images meanwhile
            self._patience_s = min(self._patience_s, fixed_s)

    def prepare_ahead(self, process: ModelProcess, probe: EngineJob | None) -> None:
        """Have the images of the next batches prepared."""
        if not process.facts.preparation:
            return
        ahead = self._queue.next_jobs(BATCHES_AHEAD * self._sizer.most)
        probes: Sequence[EngineJob] = [probe] if probe else []
        self._lookahead.prepare((*probes, *ahead), process.facts.preparation)
        self._refuse_unreadable()

    def hold_ahead(self, process: ModelProcess) -> None:
        """Send the process what is prepared for the next batch; the rest comes with the batch."""
        for job in self._queue.next_jobs(self._sizer.most):
            if job.is_prepared and not job.fault:
                process.hold(job)

    def take_batch(self, facts: ModelFacts) -> list[EngineJob]:
        """Take the next batch off the queue; no job, if it is worth waiting for one."""
        if instructions := self._queue.next_instructions():
            self._sizer.turn_to(kind_of(instructions), on_accelerator=facts.on_accelerator)
        while batch := self._queue.next_batch(self._sizer.most):
            prepared: list[EngineJob] = []
            late: list[EngineJob] = []
            for job in batch:
                (prepared if job.is_prepared else late).append(job)
            if self._lookahead.waits_for(late, self._patience_s, time.monotonic()):
                self.resumes_at = self._lookahead.until
                return []
            if any(job.fault for job in prepared):  # found since they were looked through
                self._refuse_unreadable()
            elif prepared:
                self._queue.take(prepared)
                return prepared
        return []

    def take_batch_ahead(self, running: Sequence[EngineJob]) -> list[EngineJob]:
        """Take the batch after the running one off the queue, if it is full and as the last ones.

        Nothing is won by a later look at such a batch, and an accelerator would stand still until
        the engine has read of the end of a batch and sent the next one. The cores do not: they have
        requests and images to work on.

        Args:
            running: the jobs of the running batch.

        Returns:
            Its jobs; none, if it is better formed when the running batch has ended.
        """
        most = self._sizer.most
        if not self.is_brisk or most > self._last_jobs or len(self._queue) < most:
            return []
        batch = self._queue.next_batch(most)
        kinds = {kind_of(jobs[0].instructions) for jobs in (running, batch)}
        is_full = sum(len(job.images) for job in batch) >= most
        if not is_full or len(kinds) > 1 or running[0].suspect or batch[0].suspect:
            return []
        if not all(job.is_prepared and not job.fault for job in batch):
            return []
        self._queue.take(batch)
        return batch

    def _refuse_unreadable(self) -> None:
        for job in self._queue.take_unreadable():
            if job.fault:
                job.refuse(job.fault)
