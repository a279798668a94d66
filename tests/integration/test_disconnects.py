"""A client that closes its connection ends its request, however it closes it."""

import socket
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.client import post, wait_abandoned
from tests.raw_http import caption_request, connect, read_to_end
from tests.scrape import total
from tests.stack import API, Stack, wait_for

NEXT = b"POST / HTTP/1.1\r\nHost: x\r\n\r\n" * 100


def close(line: socket.socket) -> None:
    line.close()


def close_sending_side(line: socket.socket) -> None:
    line.shutdown(socket.SHUT_WR)


def reset(line: socket.socket) -> None:
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    line.close()


def send_more_and_close(line: socket.socket) -> None:
    line.sendall(NEXT)
    line.close()


@pytest.mark.parametrize("leave", [close, close_sending_side, reset, send_more_and_close])
def test_a_request_ends_with_its_connection(
    stack: Stack, api: str, leave: Callable[[socket.socket], None]
) -> None:
    request_id = f"left-by-{leave.__name__}"
    stack.redis.set("vision:seen:unserved", 1, ex=60)  # so that the request waits for a worker
    with connect(api) as line:
        line.sendall(caption_request(f"{API}/caption/unserved", f"X-Request-ID: {request_id}"))
        queue = stack.catalog.get("unserved").queue
        wait_for("it to queue", lambda: stack.redis.llen(queue))
        leave(line)
        wait_abandoned(stack, request_id)
    stack.redis.delete(queue, "vision:seen:unserved")


def test_a_request_that_waits_for_a_slot_ends_with_its_connection(stack: Stack) -> None:
    stack.worker("slow")
    base = stack.api(VISION_REQUEST_SLOTS="1")
    with ThreadPoolExecutor(1) as pool, stack.suspended("slow"):
        reply = pool.submit(post, f"{base}{API}/caption/slow")
        wait_for("a request in the slot", lambda: total(base, "vision_requests_in_flight"))
        with connect(base) as line:
            line.sendall(caption_request(f"{API}/caption/slow", "X-Request-ID: left-waiting"))
        wait_abandoned(stack, "left-waiting")
        assert not reply.done()


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_client_that_sends_no_more_still_gets_a_quick_reply(api: str, version: str) -> None:
    with connect(api) as line:
        line.sendall(f"GET /livez HTTP/{version}\r\nHost: x\r\n\r\n".encode())
        line.shutdown(socket.SHUT_WR)
        assert b'"ok"' in read_to_end(line)
