"""Supervises the model process in service, and at times a standby that will replace it.

Starts, loads and replaces processes; what becomes of their jobs is for ``recovery.py``.
"""

import time
from collections.abc import Iterator

import structlog

from shared.model_spec import ModelSpec
from shared.settings import Settings
from shared.vocabulary import WorkerState
from workers.engine.children import ForkServer
from workers.engine.faults import FailureBackoff
from workers.engine.process import ModelProcess, ProcessDied
from workers.engine.status import StatusTracker
from workers.engine.wear import RestartReason
from workers.model.memory import Memory
from workers.model.protocol import BatchReport, ModelFacts

log = structlog.get_logger(__name__)

STANDBY_PAUSE_S = 60.0
"""How long no restart is tried after a standby failed to load."""
STANDBY_SHARE = 1.5
"""With ``standby: auto``, how many times the old process's memory must be free for a standby."""


class LoadFailed(Exception):
    """No process can be started, or none can load the model; the message says why."""

    def __init__(self, message: str, retry_in_s: float = 0.0) -> None:
        """State the cause, and the fewest seconds until the next try."""
        super().__init__(message)
        self.retry_in_s = retry_in_s


class ProcessSupervisor:
    """Has one process in service, and at times a standby that loads beside it."""

    def __init__(
        self, settings: Settings, spec: ModelSpec, tracker: StatusTracker, backoff: FailureBackoff
    ) -> None:
        """Prepare; :meth:`ensure_process` starts the first process.

        Args:
            settings: time-outs and folders.
            spec: the model to load.
            tracker: records states, loads and restarts.
            backoff: knows how often a load may fail, and when to try again.
        """
        self._settings, self._spec = settings, spec
        self._tracker, self._backoff = tracker, backoff
        self._fork_server = ForkServer(settings, spec)
        self._current: ModelProcess | None = None
        self._standby: ModelProcess | None = None
        self._unloaded = False
        self._next_recycle_at = 0.0
        self.facts = ModelFacts()
        """Of the model, once it was loaded."""
        self.restart_requested: RestartReason | None = None
        """Why the process is to be replaced between two batches; ``None``: it is not."""

    def __iter__(self) -> Iterator[ModelProcess]:
        """Iterate over the running processes."""
        return iter([process for process in (self._current, self._standby) if process])

    @property
    def ready(self) -> ModelProcess | None:
        """The process in service, if it has loaded the model."""
        return self._current if self._current and self._current.loaded else None

    def seconds_until_retry(self) -> float | None:
        """Return the seconds until a process may be started; ``None``: no pause is on."""
        pause_s = self._backoff.retry_at - time.monotonic()
        return pause_s if not self._current and pause_s > 0 else None

    def ensure_process(self, *, needed: bool) -> None:
        """Start a process if there is none; after an unload, only when it is ``needed``.

        Raises:
            LoadFailed: the operating system cannot start one.
        """
        if self._current or self.seconds_until_retry():
            return
        try:
            if self._unloaded and not needed:
                self._fork_server.ensure_running()  # so that the next load is fast
                return
            self._unloaded = False
            if self._standby:
                self._put_in_service(self._standby)
                self._standby = None
                return
            self._tracker.set_state(WorkerState.LOADING, self._tracker.status.reason)
            self._put_in_service(ModelProcess(self._fork_server, self._spec))
        except OSError as err:
            raise LoadFailed(f"No process can be started: {err}") from err

    def read_report(self, process: ModelProcess) -> BatchReport | None:
        """Read one report of a process; return it when it is on a batch.

        Raises:
            ProcessDied: the process in service has ended.
            LoadFailed: the model cannot be loaded.
        """
        try:
            report = process.receive()
        except ProcessDied as err:
            if process is self.ready:
                raise
            self._died_while_loading(process, str(err))
            return None
        if isinstance(report, BatchReport):
            return report
        if report.state == WorkerState.FAILED:
            self._load_failed(process, report.reason, report.retry_in_s)
        elif process is self._current:
            if report.state == WorkerState.READY:
                self._loaded(process)
            else:
                self._tracker.set_state(report.state, report.reason)
        return None

    def check_load_timeout(self) -> None:
        """End processes that report nothing for too long while they load.

        Raises:
            LoadFailed: one of them was in service.
        """
        for process in self:
            silent_s, limit_s = time.monotonic() - process.heard_at, self._settings.load_timeout_s
            if not process.loaded and silent_s > limit_s:
                self._load_failed(
                    process,
                    f"nothing was heard of it for {silent_s:.0f} s, and VISION_LOAD_TIMEOUT_S is "
                    f"{limit_s:g}",
                )

    def discard(self, reason: RestartReason, details: str = "") -> None:
        """End the process in service, and count it; :meth:`ensure_process` provides another."""
        if self._current:
            self._current.kill()
        self._current = self.restart_requested = None
        self._tracker.record_restart(reason, details)

    def request_restart(self, reason: RestartReason) -> None:
        """Have the process replaced between two batches, by a standby where memory allows."""
        if not self.ready or self.restart_requested:
            return
        if reason != RestartReason.OPERATOR and time.monotonic() < self._next_recycle_at:
            return
        memory = self._tracker.memory
        standby = reason != RestartReason.IDLE and wants_standby(self._spec.engine.standby, memory)
        log.info("recycle", reason=reason, standby=standby, memory=memory.used)
        if standby:
            try:
                self._standby = ModelProcess(self._fork_server, self._spec)
            except OSError as err:
                self._standby_failed(str(err))
                return
        self.restart_requested = reason

    def apply_restart(self) -> None:
        """Carry out a requested restart once the standby is loaded; call between two batches."""
        if self.restart_requested and not (self._standby and not self._standby.loaded):
            self.restart(self.restart_requested)

    def restart(self, reason: RestartReason) -> None:
        """End the process in service, which did nothing wrong, and publish what follows."""
        self.discard(reason)
        if reason == RestartReason.IDLE:
            self._unloaded = True
            self._tracker.set_state(WorkerState.UNLOADED, "loaded again with the next request")
        elif not self._standby:
            self._tracker.set_state(WorkerState.LOADING, f"recycled: {reason}")

    def close(self) -> None:
        """End all processes."""
        for process in self:
            process.kill()
        self._fork_server.close()

    def _put_in_service(self, process: ModelProcess) -> None:
        self._current = process
        if process.loaded:
            self._loaded(process)

    def _loaded(self, process: ModelProcess) -> None:
        self._backoff.loaded()
        self.facts = process.facts
        device = process.facts.device
        self._tracker.loaded(process.pid, process.load_s, process.memory, device)
        log.info("model ready", pid=process.pid, load_s=round(process.load_s, 2), device=device)
        self._tracker.set_state(WorkerState.READY)

    def _died_while_loading(self, process: ModelProcess, details: str) -> None:
        """Try once more before requests are refused, since no reason was reported."""
        if process is self._standby or self._backoff.record_load_death():
            self._load_failed(process, f"the process ended: {details}")
            return
        log.warning("model process died while loading", details=details, pid=process.pid)
        self.discard(RestartReason.CRASH, details)

    def _load_failed(self, process: ModelProcess, reason: str, retry_in_s: float = 0.0) -> None:
        process.kill()
        if process is self._standby:
            self._standby_failed(reason)
            return
        self._current = None
        if not self._standby:  # what it has imported may be the cause, or what it waits for
            self._fork_server.close()
        raise LoadFailed(f"The model cannot be loaded: {reason}", retry_in_s)

    def _standby_failed(self, reason: str) -> None:
        log.warning("standby cannot be loaded; the old process goes on", reason=reason)
        self._standby = self.restart_requested = None
        self._next_recycle_at = time.monotonic() + STANDBY_PAUSE_S


def wants_standby(option: str, memory: Memory) -> bool:
    """Return whether a standby is loaded beside the process in service.

    Args:
        option: ``on``, ``off``, or ``auto``: if memory allows.
        memory: memory of the process that is to be replaced.
    """
    if option == "auto":
        return memory.free > STANDBY_SHARE * memory.used
    return option == "on"
