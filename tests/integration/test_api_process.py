"""The API as a process: addresses, memory, incomplete bodies, bugs."""

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import requests

from tests.conftest import data_url, plain
from tests.raw_http import connect, read_to_end
from tests.stack import API, Stack, running_stack

BUG = """
from api import service
service.VisionService.check = None  # calling it is the bug
"""
SHORT_STALL = """
from api.front import body
body.STALL_S = 0.3
"""
HEAVY = re.compile(r"/site-packages/(torch|transformers|numpy|onnxruntime)\b")


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, str]]:
    """A stack whose API has a bug, and takes small bodies only."""
    with running_stack(tmp_path_factory.mktemp("odd"), VISION_MAX_BODY_MB="1") as stack:
        yield stack, stack.api(before=BUG) + API


@pytest.fixture(scope="module")
def impatient(odd: tuple[Stack, str]) -> str:
    """An API that soon gives up waiting for a body, so on a busy machine any client may be late."""
    return odd[0].api(before=SHORT_STALL) + API


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"zz\r\n{}\r\n", id="size"),
        pytest.param(b"-1\r\n", id="negative-size"),
        pytest.param(b"5\r\n{}xxx__\r\n", id="longer-than-its-size"),
        pytest.param(b"\r\n", id="no-size"),
        pytest.param(b"2;a\rb\r\n{}\r\n0\r\n\r\n", id="extension"),
        pytest.param(b"2\r\n{}\r\n0\r\nno header\r\n\r\n", id="trailer"),
        pytest.param(b"2\r\n{}\r\n0\r\nContent-Length: 2\r\n\r\n", id="length-as-trailer"),
    ],
)
@pytest.mark.parametrize("kind", ["application/json", "image/png", "multipart/form-data"])
@pytest.mark.parametrize("path", [f"{API}/caption/fake", "/api/generate", "/api/show"])
def test_malformed_chunks_are_400(api: str, path: str, kind: str, body: bytes) -> None:
    site = urlsplit(api)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}; boundary=x\r\n"
    with socket.create_connection((site.hostname, site.port), 10) as line:
        line.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + body)
        reply = b"".join(iter(lambda: line.recv(65536), b"")).decode()
    assert reply.startswith("HTTP/1.1 400 Bad Request\r\n")
    assert json.loads(reply.partition("\r\n\r\n")[2])["code"] == 400


def test_a_field_of_a_trailer_is_no_header(stack: Stack) -> None:
    base = stack.api(VISION_API_KEYS="sesame")
    head = "POST /api/show HTTP/1.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"
    trailer = "Authorization: Bearer sesame\r\nX-Request-ID: trailer\r\n"
    with connect(base) as line:
        line.sendall(f"{head}\r\n2\r\n{{}}\r\n0\r\n{trailer}\r\n".encode())
        reply = read_to_end(line)
    assert reply.startswith(b"HTTP/1.1 401 ")
    assert b"x-request-id: trailer" not in reply


@pytest.mark.parametrize(
    ("path", "status"), [("/api/show", b"400"), ("/nothing", b"404")], ids=["read", "refused"]
)
def test_an_endless_trailer_is_no_longer_parsed(api: str, path: str, status: bytes) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n"
    with connect(api) as line:
        line.sendall(f"{head}0\r\nX: ".encode())
        for _ in range(100):  # which took the event loop half a minute
            line.sendall(b"y" * 200_000)
        line.shutdown(socket.SHUT_WR)
        assert re.findall(rb"HTTP/1.1 (\d+)", read_to_end(line)) == [status]


def half_sent(base: str, path: str, kind: str, *headers: str) -> str:
    """Send the beginning of a body and then nothing; returns the whole reply."""
    site = urlsplit(base)
    with socket.create_connection((site.hostname, site.port), 10) as line:
        head = [f"POST {site.path}{path} HTTP/1.1", f"Host: {site.netloc}", f"Content-Type: {kind}"]
        line.sendall("\r\n".join([*head, "Connection: close", *headers, "", "5\r\n{"]).encode())
        return b"".join(iter(lambda: line.recv(65536), b"")).decode()


@pytest.mark.parametrize(
    ("kind", "header"),
    [
        ("application/json", "Content-Length: 1000"),
        ("image/png", "Content-Length: 1000"),
        ("multipart/form-data; boundary=x", "Content-Length: 1000"),
        ("application/json", "Transfer-Encoding: chunked"),
    ],
    ids=["json", "image", "form", "chunked"],
)
def test_a_body_that_stops_half_way_is_408(impatient: str, kind: str, header: str) -> None:
    head, _, body = half_sent(impatient, "/caption/fake", kind, header).partition("\r\n\r\n")
    assert head.splitlines()[0] == "HTTP/1.1 408 Request Timeout"
    assert json.loads(body)["error"] == "The request's body did not arrive."


@pytest.mark.parametrize("kind", ["image/png", "application/json", "multipart/form-data"])
def test_a_body_in_chunks_that_is_too_large_is_413(odd: tuple[Stack, str], kind: str) -> None:
    part = b'--x\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n'
    begin = {"image/png": plain(1), "application/json": b"{", "multipart/form-data": part}
    chunks = iter([begin[kind], *[bytes(100_000)] * 11])
    headers = {"Content-Type": f"{kind}; boundary=x"}
    reply = requests.post(f"{odd[1]}/caption/fake", data=chunks, headers=headers, timeout=10)
    assert reply.status_code == 413
    assert reply.json()["error"] == "The request body is too large."


def test_a_bug_is_500_and_its_id_leads_to_the_stack_trace_in_the_log(
    odd: tuple[Stack, str],
) -> None:
    stack, base = odd
    body = {"images": [data_url(plain(1))], "id": "unlucky-photo"}
    headers = {"X-Request-ID": "unlucky-request"}
    reply = requests.post(f"{base}/caption/fake", json=body, headers=headers, timeout=10)
    assert reply.status_code == 500
    assert reply.headers["Content-Type"] == "application/json"
    assert (reply.json()["id"], reply.json()["code"]) == ("unlucky-photo", 500)
    assert "unlucky-request" in reply.json()["error"]
    assert "Traceback" not in reply.text
    assert "NoneType" not in reply.text
    logged = [json.loads(line) for line in stack.processes.logs("api").splitlines() if line]
    (bug,) = [line for line in logged if line["event"] == "unexpected error"]
    assert bug["request_id"] == "unlucky-request"
    assert "TypeError" in json.dumps(bug)


def test_it_listens_on_an_ipv6_address(stack: Stack) -> None:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
    base = stack.api(host="::1")
    assert base.startswith("http://[::1]:")
    assert requests.get(f"{base}/readyz", timeout=10).ok


def test_processes_at_rest_share_what_was_loaded_before_they_were_forked(stack: Stack) -> None:
    stack.another_api(fresh=True, VISION_API_PROCESSES="2")
    master = psutil.Process(stack.api_process.pid)
    for process in master.children():
        memory = process.memory_full_info()
        assert memory.rss < 80 * 2**20
        assert memory.uss < memory.rss / 2


def test_a_process_that_has_served_requests_is_small_and_loads_no_model_library(
    stack: Stack, cat: bytes
) -> None:
    stack.worker("fake")
    base = stack.another_api(fresh=True)
    (process,) = psutil.Process(stack.api_process.pid).children()
    for _ in range(8):
        upload = requests.post(f"{base}{API}/caption/fake", files={"images": cat}, timeout=60)
        body = {"images": [data_url(cat)] * 4}
        posted = requests.post(f"{base}{API}/nsfw/fake", json=body, timeout=60)
        assert (upload.status_code, posted.status_code) == (200, 200)
    for path in ("/docs/", "/openapi.json", "/metrics", f"{API}/models"):
        assert requests.get(base + path, timeout=10).ok
    assert HEAVY.findall(Path(f"/proc/{process.pid}/maps").read_text()) == []
    assert process.memory_info().rss < 120_000_000
