"""The engine: batches jobs into one model process, and heals it so that clients do not notice.

One thread owns everything here. Task threads hand in jobs; the thread wakes on new jobs, on reports
of its processes, and on deadlines, and then takes one step: swap the process, keep one, begin a
batch, read a report, look at the time. ARCHITECTURE.md, "The engine", tells the rules.
"""

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from multiprocessing.connection import wait

import structlog

from shared.errors import ModelFailed, ModelUnavailable, VisionError
from shared.messages import Outcome
from shared.model_spec import ModelSpec
from shared.redis.presence import EngineStatus
from shared.settings import Settings
from shared.vocabulary import WorkerState
from workers.engine.batching import BatchQueue, Linger
from workers.engine.faults import FailureBackoff, Quarantine
from workers.engine.inbox import Inbox
from workers.engine.job import EngineJob, FindCancelled, Requeued
from workers.engine.process import ModelProcess, ProcessDied
from workers.engine.status import StatusTracker
from workers.engine.supervisor import LoadFailed, ProcessSupervisor
from workers.engine.wear import RestartReason
from workers.model.protocol import BatchReport

log = structlog.get_logger(__name__)

TICK_S = 1.0
"""How often time is looked at when nothing happens."""


class LocalEngine:
    """Owns the model process of a worker."""

    def __init__(self, settings: Settings, spec: ModelSpec, find_cancelled: FindCancelled) -> None:
        """Prepare; nothing runs before :meth:`start`.

        Args:
            settings: time-outs and folders.
            spec: the model to serve, with its engine options.
            find_cancelled: says which of some task ids nobody waits for.
        """
        self._settings, self._spec, self._options, self._find_cancelled = (
            settings,
            spec,
            spec.engine,
            find_cancelled,
        )
        self.on_batch: Callable[[float], None] = lambda _: None
        """Called in the engine's thread with the seconds that each batch took."""
        self._inbox: Inbox[EngineJob | Callable[[], None]] = Inbox()
        self._tracker = StatusTracker(spec.engine.max_batch)
        self._pending = BatchQueue()
        self._quarantine = Quarantine(spec.engine.quarantine_s)
        self._backoff = FailureBackoff(spec.engine.max_failures)
        self._supervisor = ProcessSupervisor(settings, spec, self._tracker, self._backoff)
        self._batch: list[EngineJob] = []
        self._batch_until = 0.0
        self._linger = Linger()
        self._draining = self._stopping = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    # For other threads.

    @property
    def concurrency(self) -> int:
        """Jobs to hold at once."""
        return self._options.concurrency

    def start(self) -> None:
        """Start loading the model; returns at once."""
        self._thread.start()

    def submit(self, item: EngineJob) -> "Future[Outcome]":
        """Hand in a job.

        Its future raises ``Dropped``, ``Requeued`` or a :class:`VisionError`.
        """
        self._inbox.put(item)
        if self._stopping and not self._thread.is_alive() and not item.future.done():
            self._requeue([item])
        return item.future

    def drain(self) -> None:
        """Finish the running batch; hand back all else, now and from now on."""
        self._inbox.put(self._begin_drain)

    def recycle(self) -> None:
        """Replace the model process, because an operator wants it; a failed one is tried again."""
        self._inbox.put(self._recycle_or_retry)

    def unload(self) -> None:
        """End the model process until the next job, because an operator wants it."""
        self._inbox.put(lambda: self._want(RestartReason.IDLE))

    def close(self) -> None:
        """Drain, then end the model process and the thread."""
        self._inbox.put(self._begin_drain)
        self._inbox.put(self._begin_stop)
        self._thread.join()

    @property
    def status(self) -> EngineStatus:
        """What the engine does and has done."""
        return self._tracker.status

    # The thread.

    def _run(self) -> None:
        while not self._stopping or self._batch:
            try:
                self._step()
            except Exception:  # the thread must outlive any bug, and the bug must be seen
                log.exception("bug in the engine")
                time.sleep(TICK_S)
        self._supervisor.end()
        self._take_inbox()
        self._requeue(self._pending.take_all())

    def _step(self) -> None:
        try:
            if not self._batch:
                self._supervisor.swap()
            if not self._draining:
                self._supervisor.keep(needed=len(self._pending) > 0)
            if not self._batch:
                self._begin_batch()
            self._prepare_ahead()
            self._listen()
            self._check_time()
        except LoadFailed as err:
            self._give_up(str(err))

    def _listen(self) -> None:
        """Wait for jobs, reports and deadlines, and take in what there is."""
        by_pipe = {process.pipe: process for process in self._supervisor}
        ready = wait([self._inbox.fileno(), *by_pipe], self._patience())
        if self._inbox.fileno() in ready:
            self._take_inbox()
        for pipe, process in by_pipe.items():
            if pipe in ready:
                self._hear(process)

    def _take_inbox(self) -> None:
        for entry in self._inbox.take():
            if not isinstance(entry, EngineJob):
                entry()
            elif self._draining:
                self._requeue([entry])
            elif self._quarantine.knows(entry.digest):
                entry.future.set_exception(self._quarantined())
            elif self._tracker.state == WorkerState.FAILED:
                entry.future.set_exception(self._unavailable())
            else:
                self._pending.add(entry)

    def _patience(self) -> float:
        """Return how many seconds may pass before time must be looked at."""
        due = min(TICK_S, self._supervisor.retry_in() or TICK_S)
        if self._batch:
            due = min(due, self._batch_until - time.monotonic())
        elif len(self._pending):
            due = min(due, self._linger.left(len(self._pending), time.monotonic()) or due)
        return max(0.0, due)

    def _check_time(self) -> None:
        now = time.monotonic()
        self._tracker.tick()
        self._supervisor.check_loading()
        if self._batch and now > self._batch_until:
            self._lost(RestartReason.HANG, "no answer in time")
        keep_alive_s, busy = self._options.keep_alive_s, self._batch or len(self._pending)
        process = self._supervisor.ready
        if process and keep_alive_s and not busy and now - process.heard_at > keep_alive_s:
            self._want(RestartReason.IDLE)

    # Batches.

    def _begin_batch(self) -> None:
        process, waiting = self._supervisor.ready, len(self._pending)
        if not process or self._linger.left(waiting, time.monotonic()):
            return
        for item in self._pending.drop_unwanted(self._find_cancelled):
            process.forget(item)
        self._batch = self._pending.take_batch(self._tracker.max_batch)
        if self._batch:
            limit_s = self._options.batch_timeout_s or self._settings.batch_timeout_s
            self._batch_until = time.monotonic() + limit_s
            process.run(self._batch, self._tracker.max_batch)
            self._tracker.batch_begun()

    def _prepare_ahead(self) -> None:
        """Have the jobs of the next batch decoded while this one runs; suspects stay alone."""
        process = self._supervisor.ready
        if not process or any(item.suspect for item in self._batch):
            return
        for item in self._pending.ahead(self._tracker.max_batch):
            if item.suspect:
                return
            process.prepare(item)

    def _hear(self, process: ModelProcess) -> None:
        """Read one report of a process."""
        try:
            report = self._supervisor.hear(process)
        except ProcessDied as err:
            self._lost(RestartReason.CRASH, str(err))
            return
        if report and report.fault == "device":
            self._lost(RestartReason.DEVICE, "the GPU reports an error")
        elif report:
            self._end_batch(process, report)

    def _end_batch(self, process: ModelProcess, report: BatchReport) -> None:
        batch, self._batch = self._batch, []
        self._tracker.batch_over()
        if report.fault == "out_of_memory":
            self._ran_out_of_memory(batch, report.images)
            return
        self._backoff.succeeded()
        self._tracker.batch_done(len(batch), report.images, report.memory)
        instructions = batch[0].instructions  # what decides how long an answer takes
        kind = (instructions.tasks, instructions.options.num_predict)
        process.wear.note(kind, report.images, report.seconds, report.memory)
        expected = min(self._tracker.max_batch, len(batch) + len(self._pending))
        self._linger.batch_over(expected, report.seconds, time.monotonic())
        why = process.wear.verdict()
        if not why and not self._supervisor.wanted:
            self._begin_batch()  # before the answers: the device should not wait for them
        for item, outcome in zip(batch, report.outcomes, strict=True):
            item.answer(outcome)
        self.on_batch(report.seconds)
        if why:
            self._want(why)

    def _ran_out_of_memory(self, batch: list[EngineJob], images: int) -> None:
        """Smaller batches from now on; if that is not enough, a new process.

        A job that does not fit alone into a fresh process is refused.
        """
        again, alone = self._backoff.ran_short(), len(batch) == 1
        if not alone:  # one job is never split, so that smaller batches would not help it
            self._tracker.max_batch = max(1, min(self._tracker.max_batch, images) // 2)
        log.warning(
            "out of memory",
            images=images,
            max_batch=self._tracker.max_batch,
            requests=[item.message.request_id for item in batch],
        )
        if alone and batch[0].suspect:
            batch[0].future.set_exception(
                ModelFailed(f"{self._spec.name} has not enough memory for this request.")
            )
            return
        if self._draining:
            self._requeue(batch)
            return
        for item in batch:
            item.generation = 0  # the process has let go of its images
            item.suspect = alone
        self._pending.put_back(batch)
        if again or alone:
            self._supervisor.replace(RestartReason.OUT_OF_MEMORY)
            if self._backoff.failed():
                self._give_up(f"Memory ran out {self._backoff.failures} times in a row.")

    def _lost(self, why: RestartReason, details: str) -> None:
        """The process crashed, hung or broke: replace it, and find out which job did it."""
        process = self._supervisor.ready
        if not process:
            return
        log.warning(
            "model process lost",
            why=why,
            details=details,
            pid=process.pid,
            requests=[item.message.request_id for item in self._batch],
        )
        self._supervisor.lose(why, details)
        too_many = self._backoff.failed()
        batch, self._batch = self._batch, []
        self._tracker.batch_over()
        if len(batch) == 1 and batch[0].suspect:
            self._quarantine.add(batch[0].digest)
            for item in (*batch, *self._pending.take_alike(batch[0].digest)):
                item.future.set_exception(self._quarantined())
        else:
            self._pending.put_back(batch)
        # Whatever it had may have ended it, prepared or running: each is run alone now.
        self._pending.suspect(process.generation)
        if self._draining:
            self._requeue(self._pending.take_all())
        elif too_many:
            deaths = self._backoff.failures
            self._give_up(f"The model process died {deaths} times in a row: {details}")
        else:
            self._tracker.set_state(WorkerState.LOADING, f"replaced after a {why}")

    # What operators are told, and what they want.

    def _give_up(self, reason: str) -> None:
        """Refuse jobs with the reason, and try again after a pause that grows."""
        log.warning("model failed", reason=reason, retry_in_s=self._backoff.give_up())
        self._tracker.set_state(WorkerState.FAILED, reason)
        for item in self._pending.take_all():
            item.future.set_exception(self._unavailable())

    def _recycle_or_retry(self) -> None:
        if self._tracker.state == WorkerState.FAILED:
            self._backoff.retry_now()
        self._want(RestartReason.OPERATOR)

    def _want(self, why: RestartReason) -> None:
        if not self._draining:
            self._supervisor.want(why)

    # The end.

    def _begin_drain(self) -> None:
        self._draining = True
        self._requeue(self._pending.take_all())

    def _begin_stop(self) -> None:
        self._stopping = True

    def _requeue(self, items: Iterable[EngineJob]) -> None:
        for item in items:
            item.future.set_exception(Requeued())

    def _quarantined(self) -> VisionError:
        return ModelFailed(
            f"{self._spec.name} crashed or hung on this image alone; it is refused for a while."
        )

    def _unavailable(self) -> VisionError:
        return ModelUnavailable(f"{self._spec.name}: {self._tracker.status.reason}")
