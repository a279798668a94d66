"""The engine's loop: batches jobs into one model process, and heals it without clients noticing.

One thread runs it and owns everything here. Other threads put jobs and commands into the inbox. The
loop wakes on them, on reports of its processes and on deadlines, and then takes the six steps of
:meth:`EngineLoop._step`; ARCHITECTURE.md, "The engine's loop", has the same numbers and the rules.
"""

import math
import select
import time
from collections.abc import Callable, Collection

import structlog

from shared.families import FAMILIES
from shared.model_spec import ModelSpec
from shared.redis.presence import EngineStatus
from shared.settings import Settings
from shared.vocabulary import WorkerState
from workers.engine.batching import BatchQueue
from workers.engine.experience import Experience
from workers.engine.faults import FailureBackoff
from workers.engine.forming import BatchFormer
from workers.engine.inbox import Inbox
from workers.engine.job import EngineJob, requeue
from workers.engine.lookahead import Lookahead
from workers.engine.process import ModelProcess, ProcessDied
from workers.engine.recovery import Recovery
from workers.engine.sizing import BatchSizer
from workers.engine.status import StatusTracker
from workers.engine.supervisor import LoadFailed, ProcessSupervisor
from workers.engine.wear import RestartReason
from workers.model.protocol import BatchReport
from workers.preparing.pool import Preparer

TICK_S = 1.0
"""How often deadlines are checked when nothing happens."""

log = structlog.get_logger(__name__)


class EngineLoop:
    """Runs in one thread. Other threads use ``inbox``, and read ``status`` and ``stopping``."""

    def __init__(self, settings: Settings, spec: ModelSpec, pool: Preparer) -> None:
        """Prepare; nothing runs before :meth:`run`.

        Args:
            settings: time-outs and folders.
            spec: the model to serve, with its engine options.
            pool: decodes the images.
        """
        self.spec, options = spec, spec.engine
        self.inbox: Inbox[EngineJob | Callable[[], None]] = Inbox()  # jobs: by `accept`
        self.on_batch: Callable[[float], None] = lambda _: None
        self.stopping = self._draining = False
        self._sizer = BatchSizer(options)
        self._tracker = StatusTracker(self._sizer)
        self._experience = Experience(options, settings.batch_timeout_s, self._sizer, self._tracker)
        self._queue = BatchQueue(mixes_prompts=FAMILIES[spec.family].mixes_prompts)
        self._backoff = FailureBackoff(options.max_failures)
        self._supervisor = ProcessSupervisor(settings, spec, self._tracker, self._backoff)
        self._recovery = Recovery(
            spec, self._queue, self._supervisor, self._tracker, self._backoff, self._sizer
        )
        self._lookahead = Lookahead(pool, self.inbox.wake)
        self._former = BatchFormer(self._queue, self._sizer, self._lookahead)
        self._batch: list[EngineJob] = []
        self._ahead: list[EngineJob] = []
        """The batch that the process has as well, and runs next."""
        self._begun_at = self._batch_deadline = 0.0

    @property
    def concurrency(self) -> int:
        """Jobs to hold: a running batch and the next one, which may be given to the process, too.

        The one after that is then to be prepared. More would keep them from others.
        """
        return (3 if self._former.is_brisk else 2) * self._sizer.most

    @property
    def status(self) -> EngineStatus:
        """What the engine does and has done."""
        return self._tracker.status

    @property
    def on_accelerator(self) -> bool:
        """Whether the model's device is an accelerator; any thread may ask."""
        return self._supervisor.facts.on_accelerator

    def task_ids(self) -> list[str]:
        """Return the task ids of the jobs that wait or run; any thread may ask."""
        return [*self._queue.task_ids(), *(job.task_id for job in self._given())]

    def accept(self, job: EngineJob) -> None:
        """Take a job from any thread, and begin with its images if it is known how.

        The loop then need not know of it before they are ready.
        """
        process = self._supervisor.ready
        preparation = process.facts.preparation if process else None
        if preparation is None:
            self.inbox.put(job)
            return
        self._lookahead.prepare([job], preparation)
        self.inbox.put_quietly(job)
        if job.is_prepared:  # perhaps sooner than it was put there
            self.inbox.wake()

    def run(self) -> None:
        """Work until :meth:`stop` and the end of a batch of clients; then requeue what is left."""
        while not self.stopping or (self._batch and not self._batch[0].is_probe):
            try:
                self._step()
            except Exception:  # the thread must outlive any bug, and the bug must be seen
                log.exception("bug in the engine")
                time.sleep(TICK_S)
        self._supervisor.close()
        self._take_inbox()
        requeue(self._queue.take_all())

    def _step(self) -> None:
        try:
            if not self._batch:
                self._supervisor.apply_restart()  # 1. Carry out a restart that was asked for.
            if not self._draining:
                self._supervisor.ensure_process(needed=len(self._queue) > 0)  # 2.
            if not self._batch:
                self._begin_batch()  # 3.
            self._prepare_ahead()  # 4. Have the next batches decoded while this one runs.
            self._wait()  # 5. Wait for jobs, commands and reports, and handle them.
            self._check_deadlines()  # 6.
        except LoadFailed as err:
            self._recovery.give_up(str(err), err.retry_in_s)

    # 3 and 4: batches.

    def _begin_batch(self) -> None:
        process = self._supervisor.ready
        if self._former.lingers() or not process or self._draining:  # then a probe may be left
            return
        self.drop_unwanted()
        self._prepare_ahead()
        # Step 5 of a request's way.
        probe = self._recovery.take_probe()
        self._batch = self._former.take_batch(process.facts) if probe is None else probe
        if self._batch:
            process.run(self._batch, self._sizer.most)
            self._batch_began()

    def _batch_began(self) -> None:
        self._begun_at = time.monotonic()
        self._batch_deadline = self._begun_at + self._experience.timeout_s(self._batch)
        self._tracker.batch_started()

    def _prepare_ahead(self) -> None:
        if process := self._supervisor.ready:
            self._former.prepare_ahead(process, self._recovery.probe)
            if self._batch:
                self._former.hold_ahead(process)
                self._give_ahead(process)

    def _give_ahead(self, process: ModelProcess) -> None:
        """Give the process the next batch while it runs one, if nothing is won by a later look."""
        changes = self._draining or self._supervisor.restart_requested or self._recovery.probe
        if not self._ahead and not changes:
            self._ahead = self._former.take_batch_ahead(self._batch)
            if self._ahead:
                process.run(self._ahead, self._sizer.most)

    def _given(self) -> list[EngineJob]:
        """Return the jobs that the process has been told to run."""
        return [*self._batch, *self._ahead]

    # 5: what comes in.

    def _wait(self) -> None:
        by_pipe = {process.pipe.fileno(): process for process in self._supervisor}
        poller = select.poll()
        for file in (self.inbox.fileno(), *by_pipe):
            poller.register(file, select.POLLIN)
        ready = [file for file, _ in poller.poll(math.ceil(1000 * self._seconds_to_wait()))]
        if self.inbox.fileno() in ready:
            self._take_inbox()
        for pipe, process in by_pipe.items():
            if pipe in ready:
                self._read_report(process)

    def _seconds_to_wait(self) -> float:
        """Return the seconds until the next deadline."""
        due = min(TICK_S, self._supervisor.seconds_until_retry() or TICK_S)
        if self._batch:
            return max(0.0, min(due, self._batch_deadline - time.monotonic()))
        if self._former.resumes_at is None:
            return due
        return max(0.0, min(due, self._former.resumes_at - time.monotonic()))

    def _take_inbox(self) -> None:
        for entry in self.inbox.take():
            if not isinstance(entry, EngineJob):
                entry()
            elif self._draining:
                requeue([entry])
            else:
                self._former.job_arrived()
                for job in self._recovery.admit(entry):
                    self._queue.add(job)

    def _read_report(self, process: ModelProcess) -> None:
        try:
            report = self._supervisor.read_report(process)
        except ProcessDied as err:
            self._process_lost(RestartReason.CRASH, str(err))
            return
        if report and report.fault == "device":
            self._process_lost(RestartReason.DEVICE, "the GPU reports an error")
        elif report:
            self._end_batch(process, report)

    def _end_batch(self, process: ModelProcess, report: BatchReport) -> None:
        batch, begun_at = self._batch, self._begun_at
        self._batch, self._ahead = self._ahead, []
        self._tracker.batch_ended()
        if self._batch:
            self._batch_began()
        if report.fault == "out_of_memory":
            self._recovery.out_of_memory(batch, report.images, draining=self._draining)
            if self._supervisor.ready is not process:
                self._take_back()
            return
        if not batch[0].is_probe:
            self._backoff.succeeded()
        self._experience.record(batch, report, begun_at, process.wear)
        self._former.batch_ended(
            len(batch),
            report.seconds,
            fixed_s=self._experience.fixed_s(batch),
            on_accelerator=self.on_accelerator,
        )
        worn = process.wear.restart_reason()
        try:
            if not self._batch and not worn and not self._supervisor.restart_requested:
                self._begin_batch()  # before the answers: the device should not wait for them
        finally:  # a bug in that must not cost these clients their answers
            self.on_batch(report.seconds)  # before them: whoever has one finds it counted
            for job, outcome in zip(batch, report.outcomes, strict=True):
                job.answer(outcome)  # Step 7 of a request's way.
        if worn:
            self._request_restart(worn)

    def _process_lost(self, reason: RestartReason, details: str) -> None:
        if self._supervisor.ready:
            batch, self._batch = self._batch, []
            self._take_back()
            self._recovery.process_lost(batch, reason, details, draining=self._draining)

    def _take_back(self) -> None:
        """Put back what a process that has ended was to run, but had not begun."""
        self._tracker.batch_ended()
        given, self._batch, self._ahead = self._given(), [], []
        self._queue.put_back(part for job in given for part in self._recovery.admit(job))

    # 6: deadlines.

    def _check_deadlines(self) -> None:
        now = time.monotonic()
        self._tracker.tick()
        self._supervisor.check_load_timeout()
        if self._batch and now > self._batch_deadline:
            self._process_lost(RestartReason.HANG, "no answer in time")
        if self._recovery.cut_unwanted(self._batch, now - self._begun_at):
            self._batch = []
            self._take_back()
        keep_alive_s, busy = self.spec.engine.keep_alive_s, self._batch or len(self._queue)
        process = self._supervisor.ready
        if process and keep_alive_s and not busy and now - process.heard_at > keep_alive_s:
            self._request_restart(RestartReason.IDLE)

    # Commands, which other threads put into the inbox.

    def drop_unwanted(self, cancelled: Collection[str] = ()) -> None:
        """Drop the waiting jobs whose deadline has passed, or whose task id is ``cancelled``.

        One that the process was given cannot be dropped by itself; it is noted that nobody waits
        for it.
        """
        for job in self._given():
            job.is_cancelled |= job.task_id in cancelled
        for job in self._queue.drop_unwanted(cancelled):
            if process := self._supervisor.ready:
                process.forget(job)

    def recycle(self) -> None:
        """Replace the process for an operator; one that failed is tried again now."""
        if self._tracker.state == WorkerState.FAILED:
            self._backoff.retry_now()
        self._request_restart(RestartReason.OPERATOR)

    def unload(self) -> None:
        """End the process until the next job."""
        self._request_restart(RestartReason.IDLE)

    def drain(self) -> None:
        """Finish the running batch; requeue all else, now and from now on."""
        self._draining = True
        requeue(self._queue.take_all())

    def stop(self) -> None:
        """End :meth:`run` once no batch runs."""
        self.stopping = True

    def _request_restart(self, reason: RestartReason) -> None:
        if not self._draining:
            self._supervisor.request_restart(reason)
