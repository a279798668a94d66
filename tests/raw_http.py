"""Talks HTTP over sockets, as slow and hostile clients do."""

import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import requests

from tests.conftest import data_url, plain
from tests.stack import API


def connect(base: str, timeout_s: float = 20, buffer: int = 0) -> socket.socket:
    """Connect to a service.

    Args:
        base: its URL.
        timeout_s: limit of each later step.
        buffer: bytes that the kernel may take ahead of the reader; 0: as it likes.
    """
    site = urlsplit(base)
    line = socket.socket()
    if buffer:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    line.settimeout(timeout_s)
    line.connect((site.hostname, site.port))
    return line


@contextlib.contextmanager
def crowd(base: str, count: int, first: bytes, buffer: int = 0) -> Iterator[list[socket.socket]]:
    """Hold connections that have each sent something."""
    lines = [connect(base, buffer=buffer) for _ in range(count)]
    try:
        for line in lines:
            line.sendall(first)
        yield lines
    finally:
        for line in lines:
            line.close()


def caption_request(path: str, *headers: str, **fields: Any) -> bytes:
    """A whole request for a caption by the model ``fake``."""
    body = json.dumps({"images": [data_url(plain(1))], **fields}).encode()
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "Content-Type: application/json", "", ""]).encode() + body


def read_to_end(line: socket.socket) -> bytes:
    """Return all that comes until the other side closes."""
    return b"".join(iter(lambda: line.recv(65536), b""))


def seconds(call: Callable[[], requests.Response]) -> float:
    """Return how long a request took that must succeed."""
    started = time.perf_counter()
    assert call().status_code == 200
    return time.perf_counter() - started


def slowest_sign_of_life(base: str, count: int = 20) -> float:
    """Return the longest time of several requests to ``/livez``, each on a new connection."""
    return max(seconds(lambda: requests.get(f"{base}/livez", timeout=60)) for _ in range(count))


def caption(base: str) -> requests.Response:
    """Have the model ``fake`` answer."""
    body = {"images": [data_url(plain(1))]}
    return requests.post(f"{base}{API}/caption/fake", json=body, timeout=90)
