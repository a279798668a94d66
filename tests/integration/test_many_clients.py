"""Many clients at once: a fair order, memory for bodies, and one address against the others."""

import contextlib
import os
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from requests.adapters import HTTPAdapter

from tests.conftest import data_url, plain
from tests.integration.conftest import QuietHandler
from tests.raw_http import caption_request, connect, crowd, read_to_end
from tests.scrape import total
from tests.stack import API, Stack, wait_for

MB = 1_000_000


class From(HTTPAdapter):
    """Sends requests from another address of this machine."""

    def __init__(self, address: str) -> None:
        self._source = address
        super().__init__()

    def init_poolmanager(self, *args: object, **kwargs: object) -> None:
        super().init_poolmanager(*args, source_address=(self._source, 0), **kwargs)  # type: ignore[arg-type]


def ask(base: str, model: str, source: str = "127.0.0.1", **headers: str) -> requests.Response:
    body = {"images": [data_url(plain(1))]}
    with requests.Session() as session:
        session.mount("http://", From(source))
        url = f"{base}{API}/caption/{model}"
        return session.post(url, json=body, headers=headers, timeout=60)


@contextlib.contextmanager
def all_slots_taken(
    stack: Stack, base: str, slots: int, clients: int, **headers: str
) -> Iterator[None]:
    """Have clients of one address ask at once, who get their answers when the block ends."""
    stack.worker("fake")
    with ThreadPoolExecutor(clients) as pool, stack.suspended("slow"):
        for _ in range(clients):
            pool.submit(ask, base, "slow", **headers)
        wait_for("busy slots", lambda: total(base, "vision_requests_in_flight") == slots)
        wait_for("the others", lambda: total(base, "vision_api_waiting") == clients - slots)
        yield


@pytest.mark.slow
def test_no_client_starves_when_there_are_more_than_slots(stack: Stack) -> None:
    stack.worker("fake")
    base = stack.api(VISION_REQUEST_SLOTS="10")

    def work(_: int) -> list[float]:
        times = []
        for _ in range(8):
            started = time.monotonic()
            assert ask(base, "fake").status_code == 200
            times.append(time.monotonic() - started)
        return times

    with ThreadPoolExecutor(32) as pool:
        times = sorted(one for many in pool.map(work, range(32)) for one in many)
    assert times[-1] <= max(10 * statistics.median(times), 5)  # one refusal took five seconds more


def test_an_address_that_takes_all_slots_does_not_keep_others_out(stack: Stack) -> None:
    base = stack.api(VISION_REQUEST_SLOTS="4", VISION_SLOT_WAIT_S="60")
    with all_slots_taken(stack, base, slots=4, clients=6):
        assert ask(base, "fake", source="127.0.0.2").status_code == 200


@pytest.mark.slow
def test_the_client_behind_a_proxy_counts_where_the_proxy_is_trusted(stack: Stack) -> None:
    base = stack.api(VISION_REQUEST_SLOTS="1", VISION_SLOT_WAIT_S="0")
    trusting = stack.api(
        VISION_REQUEST_SLOTS="1", VISION_SLOT_WAIT_S="0", VISION_TRUSTED_PROXIES="127.0.0.0/8"
    )
    one, other = {"X-Forwarded-For": "198.51.100.1"}, {"X-Forwarded-For": "198.51.100.2"}
    for site, status in ((base, 429), (trusting, 200)):
        with all_slots_taken(stack, site, 1, 1, **one):
            assert ask(site, "fake", **other).status_code == status


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve a folder at an address."""
    handler = partial(QuietHandler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.slow
@pytest.mark.parametrize("way", ["body", "url"])
def test_large_images_wait_for_memory_and_are_all_served(
    stack: Stack, tmp_path: Path, way: str
) -> None:
    stack.worker("fake")
    base = stack.api(
        VISION_BODY_BUDGET_MB="30", VISION_MAX_BODY_MB="15", VISION_URL_ALLOW="127.0.0.1"
    )
    (process,) = psutil.Process(stack.api_process.pid).children()
    assert ask(base, "fake").status_code == 200
    idle, highest = process.memory_info().rss, 0
    photo = plain(1) + os.urandom(12 * MB)  # Redis has room for all, if the worker is late
    (tmp_path / "photo").write_bytes(photo)

    def send(site: str) -> int:
        what: dict[str, Any] = {"files": {"images": photo}}
        if way == "url":
            what = {"json": {"url": f"{site}/photo"}}
        return requests.post(f"{base}{API}/caption/fake", **what, timeout=90).status_code

    with serving(tmp_path) as site, ThreadPoolExecutor(16) as pool:
        replies = [pool.submit(send, site) for _ in range(16)]
        while not all(reply.done() for reply in replies):
            highest = max(highest, process.memory_info().rss)
            time.sleep(0.01)  # a sample
    assert [reply.result() for reply in replies] == [200] * 16
    assert highest - idle < 4 * 30 * MB  # all at once would be 192 MB before anything is parsed
    wait_for("the memory to come back", lambda: process.memory_info().rss < idle + 40 * MB)


@pytest.mark.slow
def test_one_that_only_announces_a_large_body_takes_no_memory(stack: Stack) -> None:
    stack.worker("fake")
    base = stack.api(VISION_BODY_BUDGET_MB="50", VISION_MAX_BODY_MB="25")
    head = caption_request(f"{API}/caption/fake").partition(b"Content-Length")[0]
    announced = head + b"Content-Length: 25000000\r\n\r\n" + bytes(100)
    with crowd(base, 20, announced):
        assert ask(base, "fake").status_code == 200


def test_connections_beyond_the_limit_end_those_that_are_idle(stack: Stack) -> None:
    base = stack.api(VISION_MAX_CONNECTIONS="20")
    with crowd(base, 30, b"") as idle:
        assert requests.get(f"{base}/livez", timeout=30).ok
        assert read_to_end(idle[0]) == b""


def test_half_sent_bodies_do_not_keep_other_addresses_from_connecting(stack: Stack) -> None:
    base = stack.api(VISION_MAX_CONNECTIONS="20")
    stack.worker("fake")
    with crowd(base, 20, caption_request(f"{API}/caption/fake")[:-20]):
        assert ask(base, "fake", source="127.0.0.2").status_code == 200


def test_a_busy_connection_is_never_ended_for_another(stack: Stack) -> None:
    base = stack.api(VISION_MAX_CONNECTIONS="2")
    with connect(base) as line:
        with stack.suspended("slow"):
            line.sendall(caption_request(f"{API}/caption/slow", "Connection: close"))
            wait_for("it to be under way", lambda: total(base, "vision_requests_in_flight"))
            with crowd(base, 5, b""), contextlib.suppress(requests.ConnectionError):
                requests.get(f"{base}/livez", timeout=30)
        assert b"HTTP/1.1 200" in read_to_end(line)
