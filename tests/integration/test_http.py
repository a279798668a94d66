"""HTTP as clients speak it: odd requests, malformed ones, old and new versions."""

import json
import socket
from typing import Any

import pytest

from tests.raw_http import caption_request, connect, read_to_end
from tests.stack import API, Stack

PATH = f"{API}/caption/fake"


@pytest.fixture(scope="module")
def base(stack: Stack, api: str) -> str:
    stack.worker("fake")
    return api


def answer(base: str, *parts: bytes) -> tuple[bytes, Any]:
    """Send a request in parts and nothing more; return the reply's head and its JSON."""
    with connect(base) as line:
        for part in parts:
            line.sendall(part)
        # Who ends its side while a model works has hung up.
        if b"HTTP/1.0" not in parts[0] and b"Connection: close" not in parts[0]:
            line.shutdown(socket.SHUT_WR)
        head, _, body = read_to_end(line).partition(b"\r\n\r\n")
    return head, json.loads(body) if body else None


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00", 400, id="tls"),
        pytest.param(b"nonsense\r\n\r\n", 400, id="nonsense"),
        pytest.param(b"GET /livez HTTP/1.1\r\nno field\r\n\r\n", 400, id="field"),
        pytest.param(b"GET http://x HTTP/1.1\r\nHost: x\r\n\r\n", 400, id="no-path"),
        pytest.param(b"GET /caf\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n", 400, id="bytes"),
        pytest.param(b"CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n", 405, id="connect"),
        pytest.param(b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, id="url"),
        pytest.param(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 101 + b"\r\n", 431, id="fields"),
        pytest.param(b"GET / HTTP/1.1\r\nX: " + b"y" * 10**6, 431, id="endless-field"),
        pytest.param(b"GET / HTTP/1.1\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", 431, id="field-size"),
        pytest.param(
            b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
            id="two-lengths",
        ),
    ],
)
def test_what_is_no_request_is_answered_with_an_error_as_json(
    base: str, request_: bytes, status: int
) -> None:
    head, body = answer(base, request_)
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"Content-Type: application/json" in head
    assert (body["code"], bool(body["id"]), bool(body["error"])) == (status, True, True)


@pytest.mark.parametrize(
    ("rest", "status"),
    [
        pytest.param(b"?" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, id="url"),
        pytest.param(b" HTTP/1.1\r\n" + b"X: y\r\n" * 101 + b"\r\n", 431, id="fields"),
        pytest.param(b" HTTP/1.1\r\nno field\r\n\r\n", 400, id="field"),
    ],
)
def test_what_is_no_request_of_openais_api_is_an_error_in_its_form(
    base: str, rest: bytes, status: int
) -> None:
    head, body = answer(base, b"GET /v1/models" + rest)
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert body["error"]["type"] == "invalid_request_error"
    assert body["error"]["message"]


@pytest.mark.parametrize(
    "headers",
    [
        ("Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABk"),
        ("Upgrade: websocket", "Connection: Upgrade"),
        ("Expect: 100-continue",),
        ("X-Twice: a", "X-Twice: b"),
        ("Connection: close",),
    ],
    ids=lambda headers: headers[0],
)
def test_a_request_with_unusual_headers_is_answered(base: str, headers: tuple[str, ...]) -> None:
    whole = caption_request(PATH, *headers)
    head, _, body = whole.partition(b"\r\n\r\n")
    with connect(base) as line:
        line.sendall(head + b"\r\n\r\n" + body[:10])
        line.sendall(body[10:])
        reply = b""
        while b"rgb 1 0 0" not in reply:
            reply += line.recv(65536) or pytest.fail(repr(reply))
    assert b"HTTP/1.1 200 OK\r\n" in reply


def test_requests_sent_in_one_go_are_answered_in_their_order(base: str) -> None:
    first, second = (caption_request(PATH, id=f"photo-{n}") for n in (1, 2))
    with connect(base) as line:
        line.sendall(first + second + b"GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n")
        replies = read_to_end(line)
    assert replies.count(b"HTTP/1.1 200 OK") == 3
    assert replies.index(b"photo-1") < replies.index(b"photo-2") < replies.index(b'"status"')


def test_paths_may_be_encoded_and_have_double_slashes(base: str) -> None:
    for path in (f"/{PATH}", PATH.replace("/caption", "//caption"), PATH.replace("v1", "v%31")):
        head, body = answer(base, caption_request(path, "Connection: close"))
        assert head.startswith(b"HTTP/1.1 200 "), path
        assert body["result"]["caption"]["text"] == "rgb 1 0 0"


def test_a_header_with_an_underscore_does_not_pass_for_another(base: str) -> None:
    request = b"GET /livez HTTP/1.0\r\nX_Request_ID: forged\r\n\r\n"
    head, _ = answer(base, request)
    assert b"forged" not in head


def test_head_has_the_length_and_no_body(base: str) -> None:
    head, body = answer(base, b"HEAD /livez HTTP/1.0\r\n\r\n")
    assert b"content-length: " in head
    assert body is None


@pytest.mark.parametrize("path", ["/", "/page/page.js", "/docs/static/index.css", "/livez"])
def test_a_reply_has_one_date(base: str, path: str) -> None:
    with connect(base) as line:
        line.sendall(f"GET {path} HTTP/1.0\r\nAccept: text/html\r\n\r\n".encode())
        head, _, _ = read_to_end(line).partition(b"\r\n\r\n")
    assert head.lower().count(b"\r\ndate: ") == 1


def test_a_client_of_http_1_0_that_asks_for_another_protocol_is_answered_as_others_are(
    base: str,
) -> None:
    with connect(base) as line:
        line.sendall(b"GET /livez HTTP/1.0\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n")
        assert read_to_end(line).startswith(b"HTTP/1.1 200 ")


def test_a_stream_to_a_client_of_http_1_0_ends_with_the_connection(base: str) -> None:
    request = caption_request("/api/generate", model="fake", prompt="x")
    with connect(base) as line:
        line.sendall(request.replace(b"HTTP/1.1", b"HTTP/1.0"))
        head, _, body = read_to_end(line).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"transfer-encoding" not in head
    lines = [json.loads(line) for line in body.splitlines()]
    assert lines[-1]["done"] is True
