"""The engine: batches jobs into one model process, and heals it so that clients do not notice.

One thread owns everything here. Task threads hand in jobs; the thread wakes on new jobs, on reports
of its processes, and on deadlines, and then takes one step: keep a process, swap it, begin a batch,
read a report, look at the time. ARCHITECTURE.md, "The engine", tells the rules.
"""

import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from multiprocessing.connection import wait

import structlog

from shared import errors
from shared.catalog import ModelSpec
from shared.errors import ModelFailed, ModelUnavailable, VisionError
from shared.messages import Result
from shared.settings import Settings
from shared.store import EngineStatus
from shared.vocabulary import WorkerState
from workers.health import Health, Recycle
from workers.pending import HandedBack, Item, Pending
from workers.poison import Poison
from workers.process import ModelProcess, ProcessDied
from workers.stats import Stats
from workers.wire import BatchReport, JobError

log = structlog.get_logger(__name__)

FIRST_BACKOFF_S = 2.0
LONGEST_BACKOFF_S = 120.0
STANDBY_PAUSE_S = 60.0
"""After a successor failed to load, the old process goes on for at least so long."""
STANDBY_SHARE = 1.5
"""A successor is loaded beside the old process when so many times its memory is free."""
TICK_S = 1.0
"""How often time is looked at when nothing happens."""

Void = Callable[[Sequence[str]], Iterable[str]]


class Engine:
    """Owns the model process of a worker."""

    def __init__(self, settings: Settings, spec: ModelSpec, void: Void) -> None:
        """Prepare; nothing runs before :meth:`start`.

        Args:
            settings: time-outs and folders.
            spec: the model to serve, with its engine options.
            void: says which of some task ids nobody waits for.
        """
        self._settings, self._spec, self._options, self._void = settings, spec, spec.engine, void
        self.on_batch: Callable[[float], None] = lambda _: None
        """Called in the engine's thread with the seconds that each batch took."""
        self._inbox: queue.SimpleQueue[Item | Callable[[], None]] = queue.SimpleQueue()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._stats = Stats(spec.engine.max_batch)
        self._pending = Pending()
        self._poison = Poison(spec.engine.poison_s)
        self._health = Health(spec.engine)
        self._process: ModelProcess | None = None
        self._standby: ModelProcess | None = None
        self._batch: list[Item] = []
        self._batch_until = self._worked_at = self._retry_at = self._recycle_at = 0.0
        self._backoff_s = FIRST_BACKOFF_S
        self._recycle: Recycle | None = None
        self._failures = self._out_of_memory = 0
        self._draining = self._stopping = self._unloaded = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    # For other threads.

    @property
    def concurrency(self) -> int:
        """Jobs to hold at once."""
        return self._options.concurrency

    def start(self) -> None:
        """Start loading the model; returns at once."""
        self._thread.start()

    def submit(self, item: Item) -> "Future[Result]":
        """Hand in a job.

        Its future raises ``Dropped``, ``HandedBack`` or a :class:`VisionError`.
        """
        self._post(item)
        if self._stopping and not self._thread.is_alive() and not item.future.done():
            self._hand_back([item])
        return item.future

    def drain(self) -> None:
        """Finish the running batch; hand back all else, now and from now on."""
        self._post(self._begin_drain)

    def recycle(self) -> None:
        """Replace the model process, because an operator wants it."""
        self._post(lambda: self._want(Recycle.OPERATOR))

    def unload(self) -> None:
        """End the model process until the next job, because an operator wants it."""
        self._post(lambda: self._want(Recycle.IDLE))

    def close(self) -> None:
        """Drain, then end the model process and the thread."""
        self._post(self._begin_drain)
        self._post(self._begin_stop)
        self._thread.join()

    @property
    def status(self) -> EngineStatus:
        """What the engine does and has done."""
        return self._stats.status

    def _post(self, entry: Item | Callable[[], None]) -> None:
        self._inbox.put(entry)
        os.eventfd_write(self._wake, 1)

    # The thread.

    def _run(self) -> None:
        while not self._stopping or self._batch:
            try:
                self._step()
            except Exception:  # the thread must outlive any bug, and the bug must be seen
                log.exception("bug in the engine")
                time.sleep(TICK_S)
        for process in (self._process, self._standby):
            if process:
                process.kill()
        self._take_inbox()
        self._hand_back(self._pending.take_all())

    def _step(self) -> None:
        self._keep_process()
        self._swap()
        self._begin_batch()
        self._prepare_ahead()
        processes = [process for process in (self._process, self._standby) if process]
        ready = wait([self._wake, *(process.pipe for process in processes)], self._patience())
        if self._wake in ready:
            os.eventfd_read(self._wake)
            self._take_inbox()
        for process in processes:
            if process.pipe in ready:
                self._hear(process)
        self._check_time()

    def _take_inbox(self) -> None:
        while True:
            try:
                entry = self._inbox.get_nowait()
            except queue.Empty:
                return
            if not isinstance(entry, Item):
                entry()
            elif self._draining:
                self._hand_back([entry])
            elif self._poison.knows(entry.digest):
                entry.future.set_exception(self._poisoned())
            elif self._stats.state == WorkerState.FAILED:
                entry.future.set_exception(self._unavailable())
            else:
                self._pending.add(entry)

    def _patience(self) -> float:
        """Return how many seconds may pass before time must be looked at."""
        now, due = time.monotonic(), TICK_S
        if self._batch:
            due = min(due, self._batch_until - now)
        if not self._process and self._retry_at > now:
            due = min(due, self._retry_at - now)
        return max(0.0, due)

    def _check_time(self) -> None:
        now = time.monotonic()
        for process in (self._process, self._standby):
            if process and not process.loaded:
                silent_s = now - process.heard_at
                if silent_s > self._settings.load_timeout_s:
                    self._lost(process, Recycle.HANG, f"silent for {silent_s:.0f} s while loading")
        if self._batch and now > self._batch_until and self._process:
            self._lost(self._process, Recycle.HANG, "no answer in time")
        keep_alive_s, busy = self._options.keep_alive_s, self._batch or len(self._pending)
        if keep_alive_s and not busy and now - self._worked_at > keep_alive_s:
            self._want(Recycle.IDLE)

    # Batches.

    def _begin_batch(self) -> None:
        if self._batch or not self._process or not self._process.loaded:
            return
        for item in self._pending.drop_unwanted(self._void):
            self._process.forget(item)
        self._batch = self._pending.take_batch(self._stats.max_batch)
        if self._batch:
            limit_s = self._options.batch_timeout_s or self._settings.batch_timeout_s
            self._batch_until = time.monotonic() + limit_s
            self._process.run(self._batch)
            self._stats.batch_begun()

    def _prepare_ahead(self) -> None:
        """Have the jobs of the next batch decoded while this one runs; suspects stay alone."""
        process = self._process
        if not process or not process.loaded or any(item.suspect for item in self._batch):
            return
        for item in self._pending.ahead(self._stats.max_batch):
            if item.suspect:
                return
            process.prepare(item)

    def _end_batch(self, report: BatchReport) -> None:
        batch, self._batch = self._batch, []
        self._stats.batch_over()
        self._worked_at = time.monotonic()
        if report.fault == "device":
            self._batch = batch
            self._lost(self._process, Recycle.DEVICE, "the GPU reports an error")
        elif report.fault == "out_of_memory":
            self._halve(batch, report.images)
        else:
            for item, outcome in zip(batch, report.outcomes, strict=True):
                _resolve(item, outcome)
            self._failures = self._out_of_memory = 0
            self._stats.batch_done(len(batch), report.images, report.memory)
            self.on_batch(report.seconds)
            self._health.note(report.images, report.seconds, report.memory.used)
            if why := self._health.verdict():
                self._want(why)

    def _halve(self, batch: list[Item], images: int) -> None:
        """After memory ran out: smaller batches from now on; if that is not enough, a new process.

        A job that does not fit alone into a fresh process is refused.
        """
        self._out_of_memory += 1
        self._stats.max_batch = max(1, min(self._stats.max_batch, images) // 2)
        log.warning(
            "out of memory",
            images=images,
            max_batch=self._stats.max_batch,
            requests=[item.job.request_id for item in batch],
        )
        if len(batch) == 1 and batch[0].suspect:
            batch[0].future.set_exception(
                ModelFailed(f"{self._spec.name} has not enough memory for this request.")
            )
            return
        for item in batch:
            item.generation = 0  # the process has let go of its images
            item.suspect = len(batch) == 1
        self._pending.put_back(batch)
        if self._out_of_memory > 1 or len(batch) == 1:
            self._replace(Recycle.OUT_OF_MEMORY)

    # Processes.

    def _keep_process(self) -> None:
        """Start a process when one is needed and none is there."""
        if self._process or self._draining or time.monotonic() < self._retry_at:
            return
        if self._unloaded and not len(self._pending):
            return
        self._unloaded = False
        if self._standby:
            self._use(self._standby)
            self._standby = None
            return
        self._set_state(WorkerState.LOADING, self._stats.status.reason)
        self._use(ModelProcess(self._settings, self._spec))

    def _use(self, process: ModelProcess) -> None:
        self._process, self._recycle = process, None
        self._health = Health(self._options)
        self._worked_at = time.monotonic()
        if process.loaded:
            self._is_ready(process)

    def _hear(self, process: ModelProcess) -> None:
        """Read one report of a process."""
        try:
            report = process.receive()
        except ProcessDied as err:
            self._lost(process, Recycle.CRASH, str(err))
            return
        if isinstance(report, BatchReport):
            self._end_batch(report)
        elif report.state == WorkerState.FAILED:
            self._load_failed(process, report.reason)
        elif process is self._process:
            if report.state == WorkerState.READY:
                self._is_ready(process)
            else:
                self._set_state(report.state, report.reason)

    def _is_ready(self, process: ModelProcess) -> None:
        self._stats.loaded(process.pid, process.load_s)
        log.info("model ready", pid=process.pid, load_s=round(process.load_s, 2))
        self._retry_at, self._worked_at = 0.0, time.monotonic()
        self._set_state(WorkerState.READY)

    def _load_failed(self, process: ModelProcess, reason: str) -> None:
        process.kill()
        if process is self._standby:
            log.warning("successor cannot be loaded; the old process goes on", reason=reason)
            self._standby, self._recycle = None, None
            self._recycle_at = time.monotonic() + STANDBY_PAUSE_S
            return
        self._process = None
        self._give_up(f"The model cannot be loaded: {reason}")

    def _lost(self, process: ModelProcess | None, why: Recycle, details: str) -> None:
        """A process crashed, hung or broke: replace it, and find out which job did it."""
        if process is None or process is not self._process or not process.loaded:
            if process:
                self._load_failed(process, f"the process ended: {details}")
            return
        log.warning(
            "model process lost",
            why=why,
            details=details,
            pid=process.pid,
            requests=[item.job.request_id for item in self._batch],
        )
        process.kill()
        self._process = None
        self._stats.recycled(why, details)
        self._failures += 1
        batch, self._batch = self._batch, []
        self._stats.batch_over()
        if len(batch) == 1 and batch[0].suspect:
            self._poison.add(batch[0].digest)
            batch[0].future.set_exception(self._poisoned())
        else:
            self._pending.put_back(batch)
        # Whatever it had may have ended it, prepared or running: each is run alone now.
        self._pending.suspect(process.generation)
        if self._draining:
            self._hand_back(self._pending.take_all())
        elif self._failures >= self._options.max_failures:
            self._give_up(f"The model process died {self._failures} times in a row: {details}")
        else:
            self._set_state(WorkerState.LOADING, f"replaced after a {why}")

    def _give_up(self, reason: str) -> None:
        """Refuse jobs with the reason, and try again after a pause that grows."""
        self._failures, self._retry_at = 0, time.monotonic() + self._backoff_s
        log.warning("model failed", reason=reason, retry_in_s=self._backoff_s)
        self._backoff_s = min(2 * self._backoff_s, LONGEST_BACKOFF_S)
        self._set_state(WorkerState.FAILED, reason)
        for item in self._pending.take_all():
            item.future.set_exception(self._unavailable())

    # Recycling.

    def _want(self, why: Recycle) -> None:
        """Replace the process between two batches, by a loaded successor where memory allows."""
        if not self._process or not self._process.loaded or self._recycle or self._draining:
            return
        if why != Recycle.OPERATOR and time.monotonic() < self._recycle_at:
            return
        self._recycle = why
        memory = self._stats.memory
        stand_by = self._options.standby == "on" or (
            self._options.standby == "auto" and memory.free > STANDBY_SHARE * memory.used
        )
        log.info("recycle", why=why, standby=stand_by, memory=memory.used)
        if stand_by and why != Recycle.IDLE:
            self._standby = ModelProcess(self._settings, self._spec)

    def _swap(self) -> None:
        """Carry out a wanted recycle, between two batches, when the successor is loaded."""
        if not self._recycle or self._batch or (self._standby and not self._standby.loaded):
            return
        self._replace(self._recycle)

    def _replace(self, why: Recycle) -> None:
        if self._process:
            self._process.kill()
        self._process, self._recycle = None, None
        self._stats.recycled(why)
        if why == Recycle.IDLE:
            self._unloaded = True
            self._set_state(WorkerState.UNLOADED, "loaded again with the next request")
        elif not self._standby:
            self._set_state(WorkerState.LOADING, f"recycled: {why}")

    # The end.

    def _begin_drain(self) -> None:
        self._draining = True
        self._hand_back(self._pending.take_all())

    def _begin_stop(self) -> None:
        self._stopping = True

    def _hand_back(self, items: Iterable[Item]) -> None:
        for item in items:
            item.future.set_exception(HandedBack())

    def _set_state(self, state: WorkerState, reason: str = "") -> None:
        if (state, reason) != (self._stats.status.state, self._stats.status.reason):
            log.info("model state", state=state, reason=reason)
        if state == WorkerState.READY:
            self._backoff_s = FIRST_BACKOFF_S if not self._failures else self._backoff_s
        self._stats.set_state(state, reason)

    def _poisoned(self) -> VisionError:
        return ModelFailed(
            f"{self._spec.name} crashed or hung on this image alone; it is refused for a while."
        )

    def _unavailable(self) -> VisionError:
        return ModelUnavailable(f"{self._spec.name}: {self._stats.status.reason}")


def _resolve(item: Item, outcome: Result | JobError) -> None:
    if isinstance(outcome, Result):
        item.future.set_result(outcome)
        return
    kind = getattr(errors, outcome.error, ModelFailed)
    is_ours = isinstance(kind, type) and issubclass(kind, VisionError)
    item.future.set_exception((kind if is_ours else ModelFailed)(outcome.message))
