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
from workers.memory import Memory
from workers.pending import HandedBack, Item, Pending
from workers.poison import Poison
from workers.process import ModelProcess, ProcessDied
from workers.setbacks import Setbacks
from workers.stats import Stats
from workers.wire import BatchReport, JobError

log = structlog.get_logger(__name__)

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
        self._batch_until = self._worked_at = self._recycle_at = 0.0
        self._setbacks = Setbacks(spec.engine.max_failures)
        self._recycle: Recycle | None = None
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
        """Replace the model process, because an operator wants it; a failed one is tried again."""
        self._post(self._recycle_or_retry)

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
        if not self._process and self._setbacks.retry_at > now:
            due = min(due, self._setbacks.retry_at - now)
        return max(0.0, due)

    def _check_time(self) -> None:
        now = time.monotonic()
        self._stats.tick()
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
            self._ran_out_of_memory(batch, report.images)
        else:
            self._setbacks.succeeded()
            self._stats.batch_done(len(batch), report.images, report.memory)
            ask = batch[0].ask  # what decides how long an answer takes
            kind = (ask.tasks, ask.options.num_predict)
            self._health.note(kind, report.images, report.seconds, report.memory)
            why = self._health.verdict()
            if not why and not self._recycle:
                self._begin_batch()  # before the answers: the device should not wait for them
            for item, outcome in zip(batch, report.outcomes, strict=True):
                _resolve(item, outcome)
            self.on_batch(report.seconds)
            if why:
                self._want(why)

    def _ran_out_of_memory(self, batch: list[Item], images: int) -> None:
        """Smaller batches from now on; if that is not enough, a new process.

        A job that does not fit alone into a fresh process is refused.
        """
        again, alone = self._setbacks.ran_short(), len(batch) == 1
        if not alone:  # one job is never split, so that smaller batches would not help it
            self._stats.max_batch = max(1, min(self._stats.max_batch, images) // 2)
        log.warning(
            "out of memory",
            images=images,
            max_batch=self._stats.max_batch,
            requests=[item.job.request_id for item in batch],
        )
        if alone and batch[0].suspect:
            batch[0].future.set_exception(
                ModelFailed(f"{self._spec.name} has not enough memory for this request.")
            )
            return
        if self._draining:
            self._hand_back(batch)
            return
        for item in batch:
            item.generation = 0  # the process has let go of its images
            item.suspect = alone
        self._pending.put_back(batch)
        if again or alone:
            self._replace(Recycle.OUT_OF_MEMORY)
            if self._setbacks.failed():
                self._give_up(f"Memory ran out {self._setbacks.failures} times in a row.")

    # Processes.

    def _keep_process(self) -> None:
        """Start a process when one is needed and none is there."""
        if self._process or self._draining or time.monotonic() < self._setbacks.retry_at:
            return
        if self._unloaded and not len(self._pending):
            return
        self._unloaded = False
        if self._standby:
            self._use(self._standby)
            self._standby = None
            return
        self._set_state(WorkerState.LOADING, self._stats.status.reason)
        try:
            self._use(ModelProcess(self._settings, self._spec))
        except OSError as err:
            self._give_up(f"No process can be started: {err}")

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
        self._setbacks.loaded()
        self._stats.loaded(process.pid, process.load_s, process.memory)
        log.info("model ready", pid=process.pid, load_s=round(process.load_s, 2))
        self._worked_at = time.monotonic()
        self._set_state(WorkerState.READY)

    def _load_failed(self, process: ModelProcess, reason: str) -> None:
        process.kill()
        if process is self._standby:
            self._no_standby(reason)
            return
        self._process = None
        self._give_up(f"The model cannot be loaded: {reason}")

    def _no_standby(self, reason: str) -> None:
        log.warning("successor cannot be loaded; the old process goes on", reason=reason)
        self._standby, self._recycle = None, None
        self._recycle_at = time.monotonic() + STANDBY_PAUSE_S

    def _lost(self, process: ModelProcess | None, why: Recycle, details: str) -> None:
        """A process crashed, hung or broke: replace it, and find out which job did it."""
        if process is None:
            return
        if process is not self._process or not process.loaded:
            self._died_loading(process, why, details)
            return
        log.warning(
            "model process lost",
            why=why,
            details=details,
            pid=process.pid,
            requests=[item.job.request_id for item in self._batch],
        )
        process.kill()
        self._process = self._recycle = None
        self._stats.recycled(why, details)
        too_many = self._setbacks.failed()
        batch, self._batch = self._batch, []
        self._stats.batch_over()
        if len(batch) == 1 and batch[0].suspect:
            self._poison.add(batch[0].digest)
            for item in (*batch, *self._pending.take_alike(batch[0].digest)):
                item.future.set_exception(self._poisoned())
        else:
            self._pending.put_back(batch)
        # Whatever it had may have ended it, prepared or running: each is run alone now.
        self._pending.suspect(process.generation)
        if self._draining:
            self._hand_back(self._pending.take_all())
        elif too_many:
            deaths = self._setbacks.failures
            self._give_up(f"The model process died {deaths} times in a row: {details}")
        else:
            self._set_state(WorkerState.LOADING, f"replaced after a {why}")

    def _died_loading(self, process: ModelProcess, why: Recycle, details: str) -> None:
        """Nobody reported a reason: try once more before requests are refused."""
        mine = process is self._process and why == Recycle.CRASH
        if not mine or self._setbacks.died_loading():
            self._load_failed(process, f"the process ended: {details}")
            return
        log.warning("model process died while loading", details=details, pid=process.pid)
        process.kill()
        self._process = None
        self._stats.recycled(why, details)

    def _give_up(self, reason: str) -> None:
        """Refuse jobs with the reason, and try again after a pause that grows."""
        log.warning("model failed", reason=reason, retry_in_s=self._setbacks.give_up())
        self._set_state(WorkerState.FAILED, reason)
        for item in self._pending.take_all():
            item.future.set_exception(self._unavailable())

    # Recycling.

    def _recycle_or_retry(self) -> None:
        if self._stats.state == WorkerState.FAILED:
            self._setbacks.retry_now()
        self._want(Recycle.OPERATOR)

    def _want(self, why: Recycle) -> None:
        """Replace the process between two batches, by a loaded successor where memory allows."""
        if not self._process or not self._process.loaded or self._recycle or self._draining:
            return
        if why != Recycle.OPERATOR and time.monotonic() < self._recycle_at:
            return
        memory = self._stats.memory
        standby = why != Recycle.IDLE and wants_standby(self._options.standby, memory)
        log.info("recycle", why=why, standby=standby, memory=memory.used)
        if standby:
            try:
                self._standby = ModelProcess(self._settings, self._spec)
            except OSError as err:
                self._no_standby(str(err))
                return
        self._recycle = why

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
        self._stats.set_state(state, reason)

    def _poisoned(self) -> VisionError:
        return ModelFailed(
            f"{self._spec.name} crashed or hung on this image alone; it is refused for a while."
        )

    def _unavailable(self) -> VisionError:
        return ModelUnavailable(f"{self._spec.name}: {self._stats.status.reason}")


def wants_standby(option: str, memory: Memory) -> bool:
    """Say whether a successor is loaded beside a process that uses ``memory``.

    Args:
        option: ``on``, ``off`` or ``auto``: if memory allows.
        memory: of the process that is to be replaced.
    """
    if option == "auto":
        return memory.free > STANDBY_SHARE * memory.used
    return option == "on"


def _resolve(item: Item, outcome: Result | JobError) -> None:
    if isinstance(outcome, Result):
        item.future.set_result(outcome)
        return
    kind = getattr(errors, outcome.error, ModelFailed)
    is_ours = isinstance(kind, type) and issubclass(kind, VisionError)
    item.future.set_exception((kind if is_ours else ModelFailed)(outcome.message))
