"""A request refused before its body was read: the reply arrives, however large the body is."""

import json
import select
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
import requests

from api.http.request_id import MAX_BODY_BYTES
from tests.raw_http import caption_request
from tests.scrape import total
from tests.stack import API, Stack, wait_for

MB = 1_000_000
LIMIT_MB = 30
FRAMINGS = ("length", "expect", "chunked")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
SHORT_LINGERING = """
from api.front import connection
connection.LINGER_S = 0.5
connection.LINGER_BYTES = 20_000_000
"""


@pytest.fixture(scope="module")
def base(stack: Stack) -> str:
    return stack.api(
        VISION_API_KEYS="sesame",
        VISION_REQUEST_SLOTS="1",
        VISION_SLOT_WAIT_S="0",
        VISION_MAX_BODY_MB=str(LIMIT_MB),
    )


@pytest.fixture(scope="module")
def hasty(stack: Stack) -> str:
    """An API that lingers for a short time only."""
    return stack.api(VISION_API_KEYS="sesame", before=SHORT_LINGERING)


@contextmanager
def connected(base: str) -> Iterator[socket.socket]:
    site = urlsplit(base)
    with socket.create_connection((site.hostname, site.port), 20) as line:
        yield line


def head(path: str, *headers: str, method: str = "POST", key: str = "sesame") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {key}", *headers]
    return "\r\n".join([*lines, "Content-Type: application/json", "", ""]).encode()


def read_reply(line: socket.socket) -> tuple[int, str, dict[str, object]]:
    """Read one reply to its end; returns its status, its ``Connection`` and its JSON."""
    with line.makefile("rb") as stream:
        status = int(stream.readline().split()[1])
        headers = {}
        while (header := stream.readline().decode().strip()) != "":
            name, _, value = header.partition(": ")
            headers[name.lower()] = value
        body = stream.read(int(headers.get("content-length", 0)))
    return status, headers.get("connection", "keep-alive"), json.loads(body or b"{}")


def send_all_then_read(
    line: socket.socket, request: bytes, size: int, framing: str
) -> tuple[int, str, dict[str, object]]:
    """Send a whole request before anything is read, as simple clients do."""
    block = bytes(65536)
    if framing == "chunked":
        line.sendall(request.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"))
    else:
        length = b"\r\nContent-Length: %d\r\n\r\n" % size
        expect = b"\r\nExpect: 100-continue" if framing == "expect" else b""
        line.sendall(request.replace(b"\r\n\r\n", expect + length))
    if framing == "expect":
        if line.recv(len(CONTINUE), socket.MSG_PEEK | socket.MSG_WAITALL) != CONTINUE:
            return read_reply(line)  # refused, without the body
        line.recv(len(CONTINUE))
    for start in range(0, size, len(block)):
        part = block[: size - start]
        line.sendall(b"%x\r\n%s\r\n" % (len(part), part) if framing == "chunked" else part)
    if framing == "chunked":
        line.sendall(b"0\r\n\r\n")
    return read_reply(line)


@pytest.mark.parametrize("size", [MB // 5, MB, 8 * MB, 40 * MB])
@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_wrong_key_is_401_for_a_client_that_sends_everything_first(
    base: str, size: int, framing: str
) -> None:
    for _ in range(4):
        with connected(base) as line:
            request = head(f"{API}/nsfw", key="wrong")
            status, connection, body = send_all_then_read(line, request, size, framing)
        is_sent = framing != "expect" or size <= MAX_BODY_BYTES  # which is read for its id
        assert (status, connection) == (401, "keep-alive" if is_sent else "close")
        assert body["code"] == 401


@pytest.mark.parametrize(
    ("method", "path", "size", "status"),
    [
        ("POST", "/nowhere", 8 * MB, 404),
        ("POST", f"{API}/smell", 8 * MB, 404),
        ("DELETE", f"{API}/nsfw", 8 * MB, 405),
        ("PUT", "/api/generate", 8 * MB, 405),
        ("POST", f"{API}/nsfw", 40 * MB, 413),
        ("POST", "/api/chat", 40 * MB, 413),
        ("DELETE", "/api/delete", 8 * MB, 403),
    ],
)
@pytest.mark.parametrize("framing", FRAMINGS)
def test_every_refusal_arrives(
    base: str, framing: str, method: str, path: str, size: int, status: int
) -> None:
    for _ in range(3):
        with connected(base) as line:
            reply = send_all_then_read(line, head(path, method=method), size, framing)
        assert (reply[0], reply[2]["code"]) == (status, status)


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_full_service_is_429(stack: Stack, base: str, framing: str) -> None:
    stack.redis.set("vision:seen:unserved", 1, ex=60)  # so that the request waits for a worker
    queue = stack.catalog.get("unserved").queue
    with connected(base) as holder:
        holder.sendall(caption_request(f"{API}/caption/unserved", "Authorization: Bearer sesame"))
        wait_for("the slot to be taken", lambda: stack.redis.llen(queue))
        with connected(base) as line:
            reply = send_all_then_read(line, head(f"{API}/nsfw"), 8 * MB, framing)
        assert reply[0] == 429
    wait_for("a free slot", lambda: not total(base, "vision_requests_in_flight"))
    stack.redis.delete(queue, "vision:seen:unserved")


def test_the_connection_is_kept_after_a_small_refused_body(base: str) -> None:
    with connected(base) as line:
        for _ in range(3):
            request = head("/nowhere", method="DELETE")
            status, connection, _ = send_all_then_read(line, request, 50_000, "length")
            assert (status, connection) == (404, "keep-alive")


def test_the_connection_is_kept_after_a_body_that_was_read(base: str) -> None:
    with connected(base) as line:
        for framing in FRAMINGS:
            status, connection, _ = send_all_then_read(line, head(f"{API}/nsfw"), MB, framing)
            assert (status, connection) == (400, "keep-alive")


@pytest.mark.parametrize("pause_s", [0.0, 0.05], ids=["too-much", "too-long"])
def test_a_client_that_never_stops_sending_is_cut_off(hasty: str, pause_s: float) -> None:
    with connected(hasty) as line:
        line.sendall(head(f"{API}/nsfw", f"Content-Length: {10**12}", key="wrong"))
        assert read_reply(line)[0] == 401
        with pytest.raises(ConnectionError):
            keep_sending(line, pause_s)


def keep_sending(line: socket.socket, pause_s: float) -> None:
    started = time.monotonic()
    while time.monotonic() - started < 10:
        line.sendall(bytes(65536))
        time.sleep(pause_s)


@pytest.mark.parametrize("body", [b"", b"{", b'{"id": "x"}'])
def test_a_refusal_does_not_wait_long_for_a_body_that_stays_away(base: str, body: bytes) -> None:
    with connected(base) as line:
        line.sendall(head(f"{API}/nsfw", "Content-Length: 1000", key="wrong") + body)
        started = time.monotonic()
        status, connection, _ = read_reply(line)
    assert (status, connection) == (401, "close")
    assert time.monotonic() - started < 5


def test_a_refusal_does_not_wait_long_for_a_body_that_trickles(base: str) -> None:
    with connected(base) as line:
        line.sendall(head(f"{API}/nsfw", "Content-Length: 1000", key="wrong"))
        for _ in range(200):
            line.sendall(b" ")
            if select.select([line], [], [], 0.05)[0]:
                break
        assert read_reply(line)[0] == 401


def test_the_id_in_a_small_refused_body_comes_back(base: str) -> None:
    with connected(base) as line:
        for n in range(3):
            body = json.dumps({"id": f"photo-{n}", "images": ["A" * 200_000]}).encode()
            headers = (f"Content-Length: {len(body)}",)
            line.sendall(head(f"{API}/nsfw", *headers, key="wrong") + body)
            status, connection, reply = read_reply(line)
            assert (status, connection, reply["id"]) == (401, "keep-alive", f"photo-{n}")


def test_clients_that_keep_a_closed_connection_open_do_not_stop_the_others(base: str) -> None:
    site = urlsplit(base)
    lines = [socket.create_connection((site.hostname, site.port), 10) for _ in range(12)]
    for line in lines:
        line.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
    for line in lines:
        assert b'"ok"' in b"".join(iter(lambda line=line: line.recv(4096), b""))  # type: ignore[misc]
    started = time.monotonic()
    assert requests.get(f"{base}/livez", timeout=30).ok
    took_s = time.monotonic() - started
    for line in lines:
        line.close()
    assert took_s < 5  # gunicorn would have taken two seconds for each
