"""The stand-in itself: a threaded HTTP server that can go down and come back."""

import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from http.server import ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from launcher.ports import reserve_port
from tests.ollama_standin.engine import Engine
from tests.ollama_standin.http import Handler
from tests.ollama_standin.knobs import Knobs, Spec


class _Server(ThreadingHTTPServer):
    """Knows its open connections, so that it can close them when it goes down."""

    # Joined when the server closes: no thread and no socket outlives its test.
    daemon_threads = False
    request_queue_size = 128

    def __init__(self, port: int, standin: "OllamaStandin") -> None:
        self.standin = standin
        self.open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report errors, but not that connections were closed."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def close_connections(self) -> None:
        for connection in list(self.open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # closed meanwhile


class OllamaStandin(Engine):
    """A mock of an Ollama server in a ``with`` block; ``knobs`` may be set at any time."""

    def __init__(
        self, models: Mapping[str, Spec] | Sequence[str] = ("standin",), port: int = 0, **knobs: Any
    ) -> None:
        """Bind the port, or a free one; requests are answered only in the ``with`` block."""
        super().__init__(models, Knobs(**knobs))
        # Otherwise somebody could take the port while this is down.
        self._reservation = None if port else reserve_port()
        self.port = self._reservation.getsockname()[1] if self._reservation else port
        self._server: _Server | None = _Server(self.port, self)
        self._thread: threading.Thread | None = None
        self.is_down = False
        self.restarts = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def go_down(self) -> None:
        """Stop like a server that is killed: close all connections and forget what was loaded."""
        self.is_down = True
        server, self._server = self._server, None
        if server is None:
            return
        if self._thread is not None:
            server.shutdown()
            self._thread.join()
            self._thread = None
        server.socket.close()
        server.close_connections()
        server.server_close()
        self.reset()

    def come_back(self) -> None:
        """Listen again, on the same port."""
        if self._server is None:
            self._server = _Server(self.port, self)
        self.is_down = False
        # Connections have been accepted since the port was bound, and wait for this thread.
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def restart(self, down_s: float = 0.0) -> None:
        """Go down, and come back after some seconds."""
        self.go_down()
        time.sleep(down_s)
        self.come_back()
        self.restarts += 1

    def state(self) -> dict[str, Any]:
        """Return counts, knobs and requests, for ``GET /standin``."""
        with self.changed:
            return {
                "knobs": self.knobs.model_dump(),
                "loads": dict(self.loads),
                "unloads": dict(self.unloads),
                "answered": self.answered,
                "aborted": self.aborted,
                "restarts": self.restarts,
                "active": self.active,
                "most_active": self.most_active,
                "requests": [vars(request) for request in self.requests],
            }

    def __enter__(self) -> Self:
        self.come_back()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.go_down()
        if self._reservation:
            self._reservation.close()
