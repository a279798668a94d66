"""Clients that send slowly or nothing, or do not read: others are answered as if there were none.

In each test clients hold as many connections as stopped the API before there was an event loop in
front of its threads.
"""

import re
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
import pytest
import requests

from api.front.application import MAX_IN_SPARE
from api.front.parsing import HEADER_PIECE
from tests.raw_http import caption, caption_request, connect, crowd, read_to_end, seconds
from tests.raw_http import slowest_sign_of_life as slowest
from tests.stack import API, Stack, wait_for

HALF_A_HEADER = b"GET /livez HTTP/1.1\r\nHost: x\r\nX-"
HALF_A_BODY = caption_request(f"{API}/caption/fake")[:-20]
HALF_A_SMALL_BODY = b"\r\nContent-Length: 10\r\n\r\n{"
LARGE_FILE = b"GET /docs/static/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n"
MISSING_FILE = b"GET /docs/static/nothing HTTP/1.1\r\nHost: x\r\n\r\n"
READINESS = b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"
REFUSED = b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"
WATCHED = """
import gc
from asyncio.base_events import BaseEventLoop
from api.front.exchange import Exchange
from api.front.wsgi import WsgiCall

begun = sent = most = 0
step, send_head, one_pass = WsgiCall.step, Exchange.send_head, BaseEventLoop._run_once

def counted_step(call):
    global begun
    begun += 1
    return step(call)

def counted_head(*args, **kwargs):
    global sent
    sent += 1
    return send_head(*args, **kwargs)

def counted_pass(loop):
    global begun, sent, most
    begun = sent = 0
    one_pass(loop)
    if max(begun, sent) > most:
        most = max(begun, sent)
        print(f"at one pass: {most}; frozen: {gc.get_freeze_count()};", flush=True)

WsgiCall.step, Exchange.send_head = counted_step, counted_head
BaseEventLoop._run_once = counted_pass
"""
"""Has an API say how many parts of replies it began at once, or replies, and what no collection
looks at."""
AHEAD = """
from api.front.connection import Connection

most, complete = 0, Connection.on_headers_complete

def counted(connection):
    global most
    complete(connection)
    if len(connection.pipeline) > most:
        most = len(connection.pipeline)
        print(f"parsed ahead: {most};", flush=True)

Connection.on_headers_complete = counted
"""
"""Has an API say how many requests it has begun that wait for one before them."""
SERVED_S = 5.0
"""Generous for a busy machine. Before, signs of life and answers took 6 to 60 s."""
SHORT_LIMITS = """
from api.front import body, connection
connection.HEADER_S = connection.SEND_S = body.STALL_S = 1.0
connection.IDLE_S = 3.0
"""


@pytest.fixture(scope="module")
def base(stack: Stack) -> str:
    stack.worker("fake")
    return stack.api()


@pytest.fixture(scope="module")
def strict(stack: Stack) -> str:
    """An API that gives clients little time."""
    return stack.api(before=SHORT_LIMITS, VISION_BODY_TIMEOUT_S="2")


@contextmanager
def trickling(lines: list[socket.socket]) -> Iterator[None]:
    """Send a byte of each body from time to time."""
    done = threading.Event()

    def send() -> None:
        while not done.wait(0.5):
            for line in lines:
                with suppress(ConnectionError):  # it was cut off
                    line.sendall(b"a")

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def assert_others_are_served(base: str) -> None:
    assert slowest(base) < SERVED_S
    assert seconds(lambda: caption(base)) < SERVED_S


@pytest.mark.parametrize("count", [48, 100])
def test_half_sent_headers(base: str, count: int) -> None:
    with crowd(base, count, HALF_A_HEADER):
        assert_others_are_served(base)


def test_silent_connections(base: str) -> None:
    with crowd(base, 300, b""):
        assert_others_are_served(base)


def test_clients_that_do_not_read_a_large_file(base: str) -> None:
    with crowd(base, 100, LARGE_FILE * 8, buffer=4096):
        assert_others_are_served(base)


def test_the_loop_is_shared_fairly(stack: Stack) -> None:
    base = stack.api(before=WATCHED)
    with (
        crowd(base, 100, REFUSED * 20) as refused,
        crowd(base, 100, MISSING_FILE * 8) as missing,
        crowd(base, 30, READINESS * 2) as ready,
        crowd(base, 60, LARGE_FILE * 8, buffer=4096),
    ):
        for line in (*refused, *missing, *ready):
            line.shutdown(socket.SHUT_WR)
            read_to_end(line)
    log = stack.processes.logs("api")
    assert set(re.findall(r"at one pass: (\d+);", log)) == {"1"}
    assert int(re.findall(r"frozen: (\d+);", log)[-1]) > 50_000


def test_requests_are_parsed_no_sooner_than_they_can_be_answered(stack: Stack) -> None:
    base = stack.api(before=AHEAD)
    with connect(base) as line:
        line.sendall(
            REFUSED * 2000 + REFUSED.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        )
        assert read_to_end(line).count(b"HTTP/1.1 404 ") == 2001
    ahead = re.findall(r"parsed ahead: (\d+);", stack.processes.logs("api"))
    assert 0 < int(ahead[-1]) <= HEADER_PIECE // len(REFUSED) + 1


def test_clients_that_do_not_read_hold_no_thread(base: str) -> None:
    def answers() -> bool:
        return requests.get(f"{base}/metrics", timeout=20).status_code == 200

    with crowd(base, 100, LARGE_FILE * 8, buffer=4096) as lines:
        for line in lines:
            line.recv(1, socket.MSG_PEEK)  # its first reply has begun
        wait_for("an answer beside those that nobody reads", answers)


def test_clients_of_http_1_0_that_keep_their_socket_open(base: str) -> None:
    with crowd(base, 60, b"GET /livez HTTP/1.0\r\n\r\n"):
        assert_others_are_served(base)


def test_half_sent_bodies_leave_signs_of_life_alone(base: str) -> None:
    with crowd(base, 100, HALF_A_BODY):
        assert slowest(base) < SERVED_S


def test_half_sent_bodies_keep_nobody_from_asking_whether_redis_answers(base: str) -> None:
    with crowd(base, MAX_IN_SPARE + 20, READINESS.replace(b"\r\n\r\n", HALF_A_SMALL_BODY)):
        assert requests.get(f"{base}/readyz", timeout=20).status_code == 200


def test_half_sent_bodies_hold_slots_for_a_short_time_only(strict: str) -> None:
    with crowd(strict, 100, HALF_A_BODY) as lines:
        assert seconds(lambda: caption(strict)) < 15
        assert b"408" in read_to_end(lines[0])[:20]


def test_trickling_bodies_hold_slots_for_a_short_time_only(strict: str) -> None:
    with crowd(strict, 60, HALF_A_BODY) as lines, trickling(lines):
        assert seconds(lambda: caption(strict)) < 15
        assert b"408" in read_to_end(lines[0])[:20]


def test_half_a_header_is_answered_408_as_json(strict: str) -> None:
    with connect(strict) as line:
        line.sendall(HALF_A_HEADER)
        head, _, body = read_to_end(line).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert b'"code":408' in body


def test_a_header_that_trickles_is_answered_408(strict: str) -> None:
    with connect(strict) as line:
        line.sendall(HALF_A_HEADER)
        with trickling([line]):
            assert read_to_end(line).startswith(b"HTTP/1.1 408 ")


def test_an_idle_connection_is_closed(strict: str) -> None:
    with connect(strict) as line:
        assert read_to_end(line) == b""


def test_a_connection_is_kept_for_the_next_request(base: str) -> None:
    with connect(base) as line:
        for _ in range(2):
            line.sendall(b"HEAD /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            assert line.recv(65536).startswith(b"HTTP/1.1 200 OK")
            assert not select.select([line], [], [], 1)[0]


def test_a_client_that_does_not_read_is_cut_off(stack: Stack, strict: str) -> None:
    (server,) = psutil.Process(stack.api_process.pid).children()
    with connect(strict, buffer=4096) as line:
        line.sendall(LARGE_FILE * 8)
        ours = line.getsockname()
        wait_for("the reply to begin", lambda: line.recv(1, socket.MSG_PEEK))
        wait_for("the end", lambda: all(c.raddr != ours for c in server.net_connections()))
