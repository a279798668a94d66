"""The server of a stand-in: on loopback, in this process, and it can go down and come back."""

import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from launcher.ports import reserve_port


class ClosableServer(ThreadingHTTPServer):
    """Knows its open connections, so that it can close them when it goes down."""

    # Joined when the server closes: no thread and no socket outlives its test.
    daemon_threads = False
    request_queue_size = 128

    def __init__(
        self, port: int, handler: type[BaseHTTPRequestHandler], standin: "StandinServer"
    ) -> None:
        self.standin: Any = standin
        self.open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), handler)

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


class StandinServer:
    """Answers requests in a ``with`` block, unless it is down; a handler's server knows it."""

    def __init__(self, handler: type[BaseHTTPRequestHandler], port: int = 0) -> None:
        """Bind the port, or a free one, which stays ours while this is down."""
        self._handler = handler
        self._reservation = None if port else reserve_port()
        self.port = self._reservation.getsockname()[1] if self._reservation else port
        self._server: ClosableServer | None = self._bind()
        self._thread: threading.Thread | None = None
        self.is_down = False
        self.restarts = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def go_down(self) -> None:
        """Stop like a server that is killed: close all connections, and refuse new ones."""
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

    def come_back(self) -> None:
        """Listen again, on the same port."""
        if self._server is None:
            self._server = self._bind()
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

    def _bind(self) -> ClosableServer:
        return ClosableServer(self.port, self._handler, self)

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
