"""The model process in service, and the one that will take its place.

Starts, loads and replaces; what that means for jobs is the engine's business.
"""

import time
from collections.abc import Iterator

import structlog

from shared.model_spec import ModelSpec
from shared.settings import Settings
from shared.vocabulary import WorkerState
from workers.engine.faults import FailureBackoff
from workers.engine.process import ModelProcess, ProcessDied
from workers.engine.status import StatusTracker
from workers.engine.wear import RestartReason
from workers.model.memory import Memory
from workers.model.protocol import BatchReport

log = structlog.get_logger(__name__)

STANDBY_PAUSE_S = 60.0
"""After a successor failed to load, the old process goes on for at least so long."""
STANDBY_SHARE = 1.5
"""A successor is loaded beside the old process when so many times its memory is free."""


class LoadFailed(Exception):
    """No process can serve the model; the message says why."""


class ProcessSupervisor:
    """Has one process in service, and at times a successor that loads beside it."""

    def __init__(
        self, settings: Settings, spec: ModelSpec, tracker: StatusTracker, backoff: FailureBackoff
    ) -> None:
        """Prepare; :meth:`keep` starts the first process.

        Args:
            settings: time-outs and folders.
            spec: the model to load.
            tracker: is told of states, loads and recycles.
            backoff: says how often a load may fail, and when to try again.
        """
        self._settings, self._spec = settings, spec
        self._tracker, self._backoff = tracker, backoff
        self._current: ModelProcess | None = None
        self._standby: ModelProcess | None = None
        self._unloaded = False
        self._recycle_at = 0.0
        self.wanted: RestartReason | None = None
        """Why the process is to be replaced, once no batch runs."""

    def __iter__(self) -> Iterator[ModelProcess]:
        """Iterate over the processes that run."""
        return iter([process for process in (self._current, self._standby) if process])

    @property
    def ready(self) -> ModelProcess | None:
        """The process in service, if it has loaded the model."""
        return self._current if self._current and self._current.loaded else None

    def retry_in(self) -> float | None:
        """Return the seconds until a process may be started; nothing if that is not waited for."""
        pause_s = self._backoff.retry_at - time.monotonic()
        return pause_s if not self._current and pause_s > 0 else None

    def keep(self, *, needed: bool) -> None:
        """Start a process if there is none; an unloaded one stays so until it is ``needed``.

        Raises:
            LoadFailed: the system starts none.
        """
        if self._current or self.retry_in() or (self._unloaded and not needed):
            return
        self._unloaded = False
        if self._standby:
            self._use(self._standby)
            self._standby = None
            return
        self._tracker.set_state(WorkerState.LOADING, self._tracker.status.reason)
        try:
            self._use(ModelProcess(self._settings, self._spec))
        except OSError as err:
            raise LoadFailed(f"No process can be started: {err}") from err

    def hear(self, process: ModelProcess) -> BatchReport | None:
        """Read one report of a process; those of batches are returned.

        Raises:
            ProcessDied: the process in service has ended.
            LoadFailed: the model cannot be loaded.
        """
        try:
            report = process.receive()
        except ProcessDied as err:
            if process is self.ready:
                raise
            self._died_loading(process, str(err))
            return None
        if isinstance(report, BatchReport):
            return report
        if report.state == WorkerState.FAILED:
            self._load_failed(process, report.reason)
        elif process is self._current:
            if report.state == WorkerState.READY:
                self._is_ready(process)
            else:
                self._tracker.set_state(report.state, report.reason)
        return None

    def check_loading(self) -> None:
        """End processes that say nothing for too long while they load.

        Raises:
            LoadFailed: it was the one in service.
        """
        for process in self:
            silent_s = time.monotonic() - process.heard_at
            if not process.loaded and silent_s > self._settings.load_timeout_s:
                self._load_failed(process, f"nothing was heard of it for {silent_s:.0f} s")

    def lose(self, why: RestartReason, details: str = "") -> None:
        """End the process in service, and count that; :meth:`keep` finds another one."""
        if self._current:
            self._current.kill()
        self._current = self.wanted = None
        self._tracker.recycled(why, details)

    def want(self, why: RestartReason) -> None:
        """Replace the process between two batches, by a loaded successor where memory allows."""
        if not self.ready or self.wanted:
            return
        if why != RestartReason.OPERATOR and time.monotonic() < self._recycle_at:
            return
        memory = self._tracker.memory
        standby = why != RestartReason.IDLE and wants_standby(self._spec.engine.standby, memory)
        log.info("recycle", why=why, standby=standby, memory=memory.used)
        if standby:
            try:
                self._standby = ModelProcess(self._settings, self._spec)
            except OSError as err:
                self._no_standby(str(err))
                return
        self.wanted = why

    def swap(self) -> None:
        """Carry out a wanted recycle when the successor is loaded; call between two batches."""
        if self.wanted and not (self._standby and not self._standby.loaded):
            self.replace(self.wanted)

    def replace(self, why: RestartReason) -> None:
        """End a process that did nothing wrong, and say what follows."""
        self.lose(why)
        if why == RestartReason.IDLE:
            self._unloaded = True
            self._tracker.set_state(WorkerState.UNLOADED, "loaded again with the next request")
        elif not self._standby:
            self._tracker.set_state(WorkerState.LOADING, f"recycled: {why}")

    def end(self) -> None:
        """End all processes."""
        for process in self:
            process.kill()

    def _use(self, process: ModelProcess) -> None:
        self._current = process
        if process.loaded:
            self._is_ready(process)

    def _is_ready(self, process: ModelProcess) -> None:
        self._backoff.loaded()
        self._tracker.loaded(process.pid, process.load_s, process.memory)
        log.info("model ready", pid=process.pid, load_s=round(process.load_s, 2))
        self._tracker.set_state(WorkerState.READY)

    def _died_loading(self, process: ModelProcess, details: str) -> None:
        """Nobody reported a reason: try once more before requests are refused."""
        if process is self._standby or self._backoff.died_loading():
            self._load_failed(process, f"the process ended: {details}")
            return
        log.warning("model process died while loading", details=details, pid=process.pid)
        self.lose(RestartReason.CRASH, details)

    def _load_failed(self, process: ModelProcess, reason: str) -> None:
        process.kill()
        if process is self._standby:
            self._no_standby(reason)
            return
        self._current = None
        raise LoadFailed(f"The model cannot be loaded: {reason}")

    def _no_standby(self, reason: str) -> None:
        log.warning("successor cannot be loaded; the old process goes on", reason=reason)
        self._standby = self.wanted = None
        self._recycle_at = time.monotonic() + STANDBY_PAUSE_S


def wants_standby(option: str, memory: Memory) -> bool:
    """Say whether a successor is loaded beside a process that uses ``memory``.

    Args:
        option: ``on``, ``off`` or ``auto``: if memory allows.
        memory: of the process that is to be replaced.
    """
    if option == "auto":
        return memory.free > STANDBY_SHARE * memory.used
    return option == "on"
