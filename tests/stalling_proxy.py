"""A TCP proxy for Redis that can stall connections, such as those that wait for messages."""

import contextlib
import socket
import threading

from launcher.ports import LOOPBACK

CHUNK = 65536
WAIT_COMMAND = b"BRPOP"
"""The command with which kombu waits for messages."""


class StallingProxy:
    """Forwards bytes; after :meth:`stall`, waiting connections get no data and no error."""

    def __init__(self, port: int, command: bytes = WAIT_COMMAND) -> None:
        """Listen on a free port and forward to ``port``, both on loopback.

        Args:
            port: where Redis listens.
            command: connections that have sent it are those that stall; empty: all of them.
        """
        self._target, self._command = port, command
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port = int(self._listener.getsockname()[1])
        self._stalled = threading.Event()
        self._sockets: list[socket.socket] = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def stall(self) -> None:
        """Stop forwarding on all connections that send or have sent the command."""
        self._stalled.set()

    def cut_off(self) -> None:
        """Leave all connections of now half-open: no data and no error; later ones work."""
        self._stalled.set()
        self._stalled = threading.Event()

    def close(self) -> None:
        """Close all connections."""
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection((LOOPBACK, self._target))
            self._sockets += [client, server]
            waits, stalled = threading.Event(), self._stalled
            for source, sink in ((client, server), (server, client)):
                arguments = (source, sink, waits, stalled)
                threading.Thread(target=self._pump, args=arguments, daemon=True).start()

    def _pump(
        self,
        source: socket.socket,
        sink: socket.socket,
        waits: threading.Event,
        stalled: threading.Event,
    ) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                if self._command in data:
                    waits.set()
                if not (stalled.is_set() and waits.is_set()):
                    sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)
