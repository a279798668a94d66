"""Clients that send their next request once they have an answer, at little cost.

One thread serves all of them, and sends bytes that were made before: on the machine that is
measured, a client should take no CPU time from the service.
"""

import re
import selectors
import socket
import sys
import time
from typing import NamedTuple
from urllib.parse import urlsplit

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: close", re.IGNORECASE)
_SOME_BYTES = 65536
_TIMEOUT_S = 60


class Load(NamedTuple):
    """What clients have seen."""

    latencies_s: list[float]
    """Of each request."""
    per_s: float
    """Answers a second."""


class _Client:
    def __init__(self, address: tuple[str, int], selector: selectors.BaseSelector) -> None:
        self._address, self._selector = address, selector
        self.sent_at = 0.0
        self._received, self._is_closed = b"", False
        self._socket = self._connected()

    def send(self, request: bytes) -> None:
        """Send a request; the time for a new connection counts, if the last one was closed."""
        self._received, self.sent_at = b"", time.perf_counter()
        if self._is_closed:
            self.close()
            self._socket, self._is_closed = self._connected(), False
        self._socket.sendall(request)

    def receive(self) -> bool:
        """Read what has come; return whether the reply is complete."""
        came = self._socket.recv(_SOME_BYTES)
        self._received += came
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not end or length is None:
            if not came:
                sys.exit("a server closed a connection without a reply")
            return False
        if not head.startswith(b"HTTP/1.1 200"):
            sys.exit(self._received.decode())
        self._is_closed = bool(_CLOSE.search(head))
        return len(body) >= int(length[1])

    def close(self) -> None:
        self._selector.unregister(self._socket)
        self._socket.close()

    def _connected(self) -> socket.socket:
        connected = socket.create_connection(self._address)
        self._selector.register(connected, selectors.EVENT_READ, self)
        return connected


def send_for(seconds: float, base: str, path: str, body: bytes, clients: int) -> Load:
    """Have clients post the same JSON for some seconds; end the program at another status than 200.

    Args:
        seconds: how long they begin requests.
        base: URL of the service.
        path: what they ask for.
        body: what they send.
        clients: how many there are.
    """
    site = urlsplit(base)
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}"]
    request = "\r\n".join([*lines, "Content-Type: application/json", "", ""]).encode() + body
    latencies: list[float] = []
    with selectors.DefaultSelector() as selector:
        began = time.perf_counter()
        for _ in range(clients):
            _Client((site.hostname or "", site.port or 80), selector).send(request)
        while selector.get_map():
            ready = selector.select(_TIMEOUT_S)
            if not ready:
                sys.exit(f"no answer in {_TIMEOUT_S} s")
            for key, _ in ready:
                client: _Client = key.data
                if not client.receive():
                    continue
                now = time.perf_counter()
                latencies.append(now - client.sent_at)
                if now - began < seconds:
                    client.send(request)
                else:
                    client.close()
        return Load(latencies, len(latencies) / (time.perf_counter() - began))
