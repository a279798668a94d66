"""Forks APIs and workers from a process that has imported their code, which costs each a second.

It imports and does nothing else. A process that it forks gets its environment and arguments as a
fresh interpreter does, runs the same module as ``__main__``, and ends with it.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NoReturn

from launcher.parent_death import end_with_parent
from shared.settings import ROOT, get_settings

MODULES = ("gunicorn", "workers")
"""What can be run; as ``python -m`` does."""
IMPORTED = (
    *("api", "api.front.connection", "uvicorn_worker", "gunicorn.app.wsgiapp"),
    "workers.consumer.app",
)
"""All that read no setting when they are imported: each process has its own."""
MAX_REQUEST_BYTES = 100_000
_FDS = 2
"""A request comes with two: for what the process writes, and for its id and how it ended."""


class Forked:
    """A process, with the methods of ``subprocess.Popen`` that tests use."""

    def __init__(self, argv: Sequence[str], reports: socket.socket) -> None:
        """Wait for the process's id."""
        self.args, self._reports = argv, reports
        self.returncode: int | None = None
        self.pid = int(reports.recv(16))

    def poll(self) -> int | None:
        """Return how it ended: its exit status, or a signal as a negative number."""
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end.

        Raises:
            subprocess.TimeoutExpired: it still runs.
        """
        status = self._look(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return status

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.kill(self.pid, sig)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _look(self, timeout_s: float | None) -> int | None:
        if self.returncode is None:
            self._reports.settimeout(timeout_s)
            try:
                # Without a report, the server is gone, and has taken the process along.
                self.returncode = int(self._reports.recv(16) or -signal.SIGTERM)
            except (BlockingIOError, TimeoutError):
                return None
            self._reports.close()
        return self.returncode


def fork(argv: Sequence[str], environment: Mapping[str, str], log: int) -> Forked:
    """Run ``python -m MODULE …`` in a forked process.

    Args:
        argv: the command, of one of :data:`MODULES`.
        environment: all of its variables.
        log: file descriptor of the file for what it writes.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        request = json.dumps([argv[2:], dict(environment)]).encode()
        socket.send_fds(_server(), [request], [log, theirs.fileno()])
    return Forked(argv, ours)


def can_fork(argv: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Return whether a forked process would be as a fresh interpreter with this environment."""
    ours, theirs = (
        {name: value for name, value in variables.items() if name.startswith(("PYTHON", "OTEL"))}
        for variables in (os.environ, environment)
    )
    return argv[1] == "-m" and argv[2] in MODULES and ours == theirs


@cache
def _server() -> socket.socket:
    """Start the server of this process, with which it ends."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(theirs.fileno())],
            cwd=ROOT,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )

    def stop() -> None:
        ours.close()
        process.wait()

    atexit.register(stop)
    return ours


def serve(control: socket.socket) -> None:
    """Fork a process for each request until ``control`` closes."""
    for name in IMPORTED:
        importlib.import_module(name)
    assert get_settings.cache_info().currsize == 0, "an import has read the settings"
    gc.collect()
    gc.freeze()
    selector = selectors.DefaultSelector()
    selector.register(control, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is control:
                request, fds, _, _ = socket.recv_fds(control, MAX_REQUEST_BYTES, _FDS)
                if not request:
                    return
                log, reports = fds[0], socket.socket(fileno=fds[1])
                pid = os.fork()
                if pid == 0:
                    control.close()
                    selector.close()
                    _become(json.loads(request), log)
                os.close(log)
                reports.send(b"%d" % pid)
                selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, reports))
            else:
                selector.unregister(key.fileobj)
                os.close(key.fd)
                _report_end(*key.data)


def _report_end(pid: int, reports: socket.socket) -> None:
    _, status = os.waitpid(pid, 0)
    with reports:
        reports.send(b"%d" % os.waitstatus_to_exitcode(status))


def _become(request: Any, log: int) -> NoReturn:
    """Run the module in this new process, and end it as an interpreter ends."""
    status: Any = 1
    try:
        (module, *arguments), environment = request
        end_with_parent()
        os.setsid()
        os.dup2(log, sys.stdout.fileno())
        os.dup2(log, sys.stderr.fileno())
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as end:
        status = end.code
    except BaseException:  # noqa: BLE001 - as an interpreter does
        traceback.print_exc()
    finally:
        if isinstance(status, str):
            print(status, file=sys.stderr)
        threading._shutdown()  # type: ignore[attr-defined]  # waits for threads
        atexit._run_exitfuncs()
        sys.stdout.flush()
        os._exit(status if isinstance(status, int) else int(status is not None))


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
