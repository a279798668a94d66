"""Starts and ends the processes of a worker, by way of a fork server that has imported their code.

Why not the standard library's ``forkserver``: there is one for the whole program, it starts before
its importing ends a call that cannot be given up, and it ends at a SIGTERM that is meant for the
worker, and takes the model with it.
"""

import multiprocessing
import os
import signal
import socket
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from shared.model_spec import ModelSpec
from shared.settings import Settings
from workers.model import fork_server

_spawn = multiprocessing.get_context("spawn")
JOIN_S = 5.0


class Child:
    """A process that the fork server forks, or will fork once it has imported everything."""

    def __init__(self, pipe: Connection, reports: Connection) -> None:
        """Take what :meth:`ForkServer.start` made."""
        self.pipe = pipe
        """For messages to and from the process."""
        self._reports = reports
        self._pid = 0
        self._exit_code: int | None = None
        self._ended = False

    @property
    def pid(self) -> int:
        """Process id; 0: it is not forked yet, or could not be."""
        self.join(0)
        return self._pid

    @property
    def exit_code(self) -> int | None:
        """As in ``multiprocessing``; ``None``: it runs, or the fork server ended and killed it."""
        return self._exit_code

    def join(self, timeout_s: float) -> None:
        """Wait for the process' end, but no longer than this."""
        while not self._ended and self._read(timeout_s):
            pass

    def kill(self) -> None:
        """End the process now, and wait for its end; one not forked yet finds its pipe closed."""
        if self.pid and not self._ended:
            with suppress(ProcessLookupError):  # it ended just now
                os.kill(self._pid, signal.SIGKILL)
            self.join(JOIN_S)
        self.pipe.close()
        self._reports.close()
        self._ended = True

    def _read(self, timeout_s: float) -> bool:
        """Read one report of the fork server, if one comes in time; return whether one did."""
        if self._ended or not self._reports.poll(timeout_s):
            return False
        try:
            number = int(self._reports.recv_bytes())
        except (EOFError, OSError):
            self._ended = True
            return True
        if self._pid:
            self._exit_code, self._ended = number, True
        else:
            self._pid = number
        return True


class ForkServer:
    """The worker's handle on its fork server; for one thread.

    The kernel ends the server when the thread that called :meth:`ensure_running` ends
    (``PR_SET_PDEATHSIG``), and all children with the server.
    """

    def __init__(self, settings: Settings, spec: ModelSpec) -> None:
        """Prepare; nothing is started yet.

        Args:
            settings: passed to the children.
            spec: passed to the children; its family decides what is imported ahead.
        """
        self._settings, self._spec = settings, spec
        self._process: SpawnProcess | None = None
        self._control: socket.socket | None = None

    @property
    def pid(self) -> int:
        """Process id of the server; 0: none was started."""
        return (self._process and self._process.pid) or 0

    def ensure_running(self) -> None:
        """Start the server if it does not run; returns before it has imported anything.

        Raises:
            OSError: the operating system cannot start it.
        """
        if self._process and self._process.is_alive():
            return
        self.close()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            process = _spawn.Process(
                target=fork_server.serve,
                args=(theirs, self._settings, self._spec),
                name=f"fork-server-{self._spec.name}",
                daemon=True,
            )
            process.start()
        self._process = process  # only now: one that was not started can neither be asked nor ended

    def start(self, target: str) -> Child:
        """Have a process forked that calls ``target(pipe, settings, spec)``; returns at once.

        Args:
            target: a function, as ``module:function``.

        Raises:
            OSError: the operating system cannot start the server.
        """
        self.ensure_running()
        assert self._control  # noqa: S101 - what ensure_running starts has one
        ours, theirs = _spawn.Pipe()
        reports, report = _spawn.Pipe(duplex=False)
        fds = [theirs.fileno(), report.fileno()]
        # If it has just died, the child is found dead as well.
        with theirs, report, suppress(ConnectionError):
            socket.send_fds(self._control, [target.encode()], fds)
        return Child(ours, reports)

    def close(self) -> None:
        """End the server, and with it whatever it has forked."""
        if self._process:
            self._process.kill()
            self._process.join(JOIN_S)
            self._process = None
        if self._control:
            self._control.close()
            self._control = None
