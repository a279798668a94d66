"""The fork server: imports a model's code once, and forks model processes in milliseconds.

Importing torch and transformers takes seconds, which each model process would need again. The fork
server only imports: it holds no weights and has neither threads nor a CUDA context, which do not
survive a fork. ``workers/engine/children.py`` starts it and sends it requests.

Where the imports use a GPU all the same, as torch does to count them if the vendor's library for
that is missing, each process begins with a fresh interpreter instead, and imports everything.
"""

import gc
import importlib
import os
import pickle
import select
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from multiprocessing.connection import Connection
from typing import Any, NoReturn

import structlog

from shared.families import FAMILIES
from shared.log import configure_logging
from shared.model_spec import ModelSpec
from shared.parent import end_with_parent
from shared.settings import Settings
from workers.model.cpu_threads import spin_briefly

MODEL_PROCESS = "workers.model.main"
MAX_TARGET_BYTES = 200
_FDS = 2
"""A request comes with two: the child's end of its pipe, and where to report its id and end."""

log = structlog.get_logger(__name__)


def serve(control: socket.socket, settings: Settings, spec: ModelSpec) -> None:
    """Import what the model needs, then fork a process for each request until ``control`` closes.

    Args:
        control: of type ``SOCK_SEQPACKET``. A request is the name of a function, as
            ``module:function``, with two file descriptors. The function gets the first as a pipe,
            the settings and the row. To the second, the server writes the process id, and at the
            end of the process its exit code, each as a frame with digits.
        settings: of the worker.
        spec: the model.
    """
    end_with_parent()
    configure_logging(settings, "model", model=spec.name)
    preload((MODEL_PROCESS, *FAMILIES[spec.family].preload))
    ForkServer(control, settings, spec).run()


def preload(modules: tuple[str, ...]) -> None:
    """Import modules in a way that leaves the process fit to be forked.

    One that cannot be imported is left for the model process, which tells operators why.
    """
    spin_briefly()
    # torch then asks NVML, not CUDA, which GPUs there are: CUDA cannot be used after a fork.
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    for name in modules:
        with _one_blas_thread() if name == "numpy" else nullcontext():
            try:
                importlib.import_module(name)
            except Exception as err:  # noqa: BLE001 - whatever a library's import raises
                log.warning("cannot be imported ahead", module=name, error=str(err))
    gc.collect()
    gc.freeze()  # or collections in the children would copy the memory that they share


class ForkServer:
    """Forks processes, and reports their ids and ends."""

    def __init__(self, control: socket.socket, settings: Settings, spec: ModelSpec) -> None:
        self._control, self._settings, self._spec = control, settings, spec
        self._can_fork = can_fork()
        if not self._can_fork:
            log.warning("imports use the GPU already, so each process imports everything anew")
        self._reports: dict[int, Connection] = {}
        """Where the end of each running process is reported, by process id."""
        self._wake, wake = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(self._wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def run(self) -> None:
        """Serve requests until the other side of the socket closes."""
        while True:
            ready, _, _ = select.select([self._control.fileno(), self._wake], [], [])
            if self._wake in ready:
                os.read(self._wake, 4096)
                self._report_ends()
            if self._control.fileno() in ready:
                target, fds, _, _ = socket.recv_fds(self._control, MAX_TARGET_BYTES, _FDS)
                if not target:
                    return
                self._fork(target.decode(), Connection(fds[0]), Connection(fds[1]))

    def _fork(self, target: str, pipe: Connection, report: Connection) -> None:
        server = os.getpid()
        try:
            pid = os.fork()
        except OSError:
            log.exception("cannot fork")
            report.close()  # which says that there is no process
            return
        if pid == 0:
            report.close()
            self._become(target, pipe, server)
        pipe.close()
        self._reports[pid] = report
        _send(report, pid)

    def _become(self, target: str, pipe: Connection, server: int) -> NoReturn:
        """Run the target in the new process, and end it."""
        code = 1
        try:
            end_with_parent(server)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            # What decodes strangers' images must not ask for processes, nor report their ends.
            self._control.close()
            for report in self._reports.values():
                report.close()
            if not self._can_fork:
                self._execute(target, pipe)
            _call(target, pipe, self._settings, self._spec)
            code = 0
        except Exception:
            log.exception("process failed")
        finally:
            os._exit(code)

    def _execute(self, target: str, pipe: Connection) -> NoReturn:
        """Replace this process by a fresh interpreter that calls the target."""
        arguments = os.memfd_create("arguments", 0)
        os.write(arguments, pickle.dumps((self._settings, self._spec)))
        os.lseek(arguments, 0, os.SEEK_SET)
        os.set_inheritable(pipe.fileno(), True)  # noqa: FBT003 - its only parameter
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; import workers.model.fork_server as server; "
            f"server.begin({target!r}, {pipe.fileno()}, {arguments})"
        )
        os.execv(sys.executable, [sys.executable, "-c", code])  # noqa: S606 - our own program

    def _report_ends(self) -> None:
        for pid in list(self._reports):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                with self._reports.pop(pid) as report:
                    _send(report, os.waitstatus_to_exitcode(status))


def can_fork() -> bool:
    """Return whether a GPU can be used in a process that is forked from this one."""
    pid = os.fork()
    if pid == 0:
        torch: Any = sys.modules.get("torch")
        is_bad = torch and any(api._is_in_bad_fork() for api in (torch.cuda, torch.xpu))  # noqa: SLF001
        os._exit(bool(is_bad))
    return os.waitpid(pid, 0)[1] == 0


def begin(target: str, pipe: int, arguments: int) -> None:
    """Call the target in a fresh interpreter; both numbers are file descriptors."""
    with open(arguments, "rb") as file:
        settings, spec = pickle.load(file)  # noqa: S301 - written by the fork server
    _call(target, Connection(pipe), settings, spec)


def _call(target: str, pipe: Connection, settings: Settings, spec: ModelSpec) -> None:
    module, _, function = target.partition(":")
    getattr(importlib.import_module(module), function)(pipe, settings, spec)


def _send(report: Connection, number: int) -> None:
    try:
        report.send_bytes(b"%d" % number)
    except OSError:  # the worker no longer wants to know
        return


@contextmanager
def _one_blas_thread() -> Iterator[None]:
    """Keep numpy's OpenBLAS from starting threads, but not torch's, which starts them when used."""
    name = "OPENBLAS_NUM_THREADS"
    before = os.environ.get(name)
    os.environ[name] = "1"
    yield
    if before is None:
        del os.environ[name]
    else:
        os.environ[name] = before
