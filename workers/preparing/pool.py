"""A pool of preparing processes. Decoding that crashes or hangs costs one of them, and one image.

Each process has a thread, which waits for it. The first one starts with the pool; others when all
before them are busy. Images of many pixels are for the first one alone, so that they neither take
much memory at the same time, nor keep other images waiting.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from shared.errors import ModelFailed, UndecodableImage, error_named
from shared.settings import Settings
from shared.units import MEGA
from shared.vocabulary import Priority
from workers.preparing.preparation import Preparation, Prepared
from workers.preparing.process import PreparingProcess, ProcessLost
from workers.preparing.protocol import Request
from workers.turns import Line

log = structlog.get_logger(__name__)

FEWEST, MOST = 2, 4
"""Processes by default: one for images of many pixels and another, or a quarter of the cores, whose
others compute the model."""
MOST_BESIDE_ACCELERATOR = 16
"""Most processes by default where a model has an accelerator: half of the cores. The images of a
whole batch come at once when the one before is answered. On a machine with 16 cores and an H100,
where one of 720 pixels takes 6.6 ms, four processes needed 106 ms for 64, a batch of which takes
Kosmos-2 127."""
MANY_MEGAPIXELS = 16.0
"""What has more takes up to a second to decode, or hundreds of megabytes."""
TRIES = 2
"""Of an image whose process is lost, which something else may have ended; the second try is after
all that waits by then."""
WORN_BYTES = 768 * MEGA
"""A process that still holds so much after an image is replaced."""
PAUSE_S = 1.0
"""Before another process is started, after that failed."""
WATCH_S = 0.1
"""How often it is looked for images that take too long."""


class Preparer(Protocol):
    """What prepares images; :class:`PreparingPool` is the real one."""

    def submit(
        self, data: bytes, preparation: Preparation, priority: Priority = Priority.PERSON
    ) -> "Future[Prepared]":
        """Have an image file prepared, those of persons first.

        The future raises a :class:`~shared.errors.VisionError` if the file cannot be used. It may
        be cancelled.
        """


@dataclass(eq=False)
class _Task:
    data: bytes
    preparation: Preparation
    priority: Priority
    future: "Future[Prepared]" = field(default_factory=Future)
    tries: int = 0
    is_large: bool = False


class PreparingPool:
    """Prepares images in processes of its own; any thread may use it."""

    def __init__(
        self, settings: Settings, has_accelerator: Callable[[], bool] = lambda: False
    ) -> None:
        """Prepare; nothing runs before :meth:`start`.

        Args:
            settings: tell how many processes there may be, and what an image may cost.
            has_accelerator: returns whether the model is computed elsewhere than on the cores.
        """
        self._timeout_s, self._max_megapixels = settings.decode_timeout_s, settings.max_megapixels
        cores, chosen = os.cpu_count() or 1, settings.decode_processes
        self._has_accelerator = has_accelerator
        self._usual = chosen or min(MOST, max(FEWEST, cores // 4))
        number = chosen or max(self._usual, min(MOST_BESIDE_ACCELERATOR, cores // 2))
        self._lock = threading.Lock()
        self._lanes = [threading.Condition(self._lock) for _ in range(number)]
        """Which each wait for a task: none is woken in vain."""
        self._tasks: Line[_Task] = Line()
        self._large: Line[_Task] = Line()
        self._busy = [False] * number
        self._processes: list[PreparingProcess | None] = [None] * number
        self._closed = threading.Event()
        self._threads = [
            threading.Thread(target=self._serve, args=(lane,), name=f"prepare-{lane}", daemon=True)
            for lane in range(number)
        ]
        self._threads.append(
            threading.Thread(target=self._watch, name="prepare-watch", daemon=True)
        )

    @property
    def pids(self) -> list[int]:
        """Process ids of the running processes."""
        return [process.pid for process in tuple(self._processes) if process]

    @property
    def is_busy(self) -> bool:
        """Whether an image is being prepared."""
        return any(process.is_busy for process in tuple(self._processes) if process)

    def start(self) -> None:
        """Start the first process; returns at once."""
        for thread in self._threads:
            thread.start()

    def submit(
        self, data: bytes, preparation: Preparation, priority: Priority = Priority.PERSON
    ) -> "Future[Prepared]":
        """Have an image file prepared: see :meth:`Preparer.submit`."""
        task = _Task(data, preparation, priority)
        with self._lock:
            if self._closed.is_set():
                task.future.cancel()
            else:
                self._tasks.append(task, priority)
                self._wake_one()
        return task.future

    def close(self) -> None:
        """Cancel what waits, and end all processes, whatever they do."""
        with self._lock:
            self._closed.set()
            for task in (*self._tasks, *self._large):
                task.future.cancel()
            for lane in self._lanes:
                lane.notify()
        for process in tuple(self._processes):
            if process:
                process.kill()
        for thread in self._threads:
            thread.join()

    def _serve(self, lane: int) -> None:
        if lane == 0:
            self._ensure_process(lane)
        while task := self._next(lane):
            process = self._ensure_process(lane)
            if process is None and lane > 0:  # the first lane says why, if it has none either
                self._put_back(task)
                self._closed.wait(PAUSE_S)
            else:
                self._prepare(lane, process, task)
                self._ensure_process(lane)  # if it was lost: before the next image comes
        if last := self._processes[lane]:
            last.close()

    def _next(self, lane: int) -> _Task | None:
        """Wait for a task, remove it and return it; ``None``: the pool is closed."""
        with self._lock:
            self._busy[lane] = False
            while not self._closed.is_set():
                if task := self._take(lane):
                    self._busy[lane] = True
                    self._wake_one()  # if there is another task, the next process may be needed
                    return task
                self._lanes[lane].wait()
        return None

    def _take(self, lane: int) -> _Task | None:
        """Remove and return the next task for this lane that is not cancelled, if there is one."""
        while self._has_task(lane):
            waiting = self._large if lane == 0 and self._large else self._tasks
            task = waiting.popleft()
            if task.future.running() or task.future.set_running_or_notify_cancel():
                return task
        return None

    def _wake_one(self) -> None:
        for lane, condition in enumerate(self._lanes):
            if not self._busy[lane] and self._has_task(lane):
                condition.notify()
                return

    def _has_task(self, lane: int) -> bool:
        if lane == 0:
            return bool(self._large or self._tasks)
        if lane >= self._usual and not self._has_accelerator():
            return False
        return bool(self._tasks) and all(self._busy[:lane])

    def _prepare(self, lane: int, process: PreparingProcess | None, task: _Task) -> None:
        if process is None:
            task.future.set_exception(ModelFailed("No process can be started to decode the image."))
            return
        is_first = lane == 0
        limit = None if is_first or len(self._busy) == 1 else MANY_MEGAPIXELS
        request = Request(preparation=task.preparation, most_megapixels=limit)
        try:
            reply, prepared = process.prepare(request, task.data)
        except ProcessLost as err:
            self._processes[lane] = None
            self._retry(task, err)
            return
        if reply.resident > WORN_BYTES:
            log.info("preparing process replaced", reason="memory", resident=reply.resident)
            process.close()
            self._processes[lane] = None
        if reply.too_large:
            task.is_large = True
            self._put_back(task)
        elif reply.error:
            if reply.bug:
                log.error("prepare failed", error=reply.bug)
            self._set_free(lane)
            task.future.set_exception(error_named(reply.error, reply.message))
        else:
            self._set_free(lane)
            task.future.set_result(prepared)

    def _set_free(self, lane: int) -> None:
        """Be free before the answer, or the next image of a single client needs another process."""
        with self._lock:
            self._busy[lane] = False

    def _retry(self, task: _Task, err: ProcessLost) -> None:
        task.tries += 1
        log.warning("preparing process lost", reason=err.what, tries=task.tries)
        if task.tries < TRIES:
            self._put_back(task)
        else:
            reason = f"The image cannot be decoded: its decoder {err.what}."
            task.future.set_exception(UndecodableImage(reason))

    def _put_back(self, task: _Task) -> None:
        with self._lock:
            if not self._closed.is_set():
                (self._large if task.is_large else self._tasks).append(task, task.priority)
                self._wake_one()
                return
        task.future.set_exception(ModelFailed("The worker stops."))

    def _ensure_process(self, lane: int) -> PreparingProcess | None:
        process = self._processes[lane]
        if process is None:
            try:
                process = PreparingProcess(self._max_megapixels, self._timeout_s)
            except OSError as err:
                log.warning("no preparing process can be started", error=str(err))
                return None
            self._processes[lane] = process
            if self._closed.is_set():  # since it was last looked at
                process.kill()
        return process

    def _watch(self) -> None:
        while not self._closed.wait(WATCH_S):
            for process in tuple(self._processes):
                if process:
                    process.check_deadline()
