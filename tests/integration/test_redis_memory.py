"""Large images under way never fill Redis: others get a quick 429, and all are answered at last."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import NamedTuple

import pytest

from benchmarks.prove import clients
from benchmarks.prove.leftovers import leftovers
from shared.units import MEGA
from tests.integration.client import post
from tests.redis_faults import configured, full
from tests.stack import API, Stack, running_stack, wait_for

MOST = 24 * MEGA
HEAVY = int(4 * MEGA)
QUICK_S = 8.0
"""For a busy machine: a refusal takes milliseconds, an answer the time of two images."""


class Running(NamedTuple):
    stack: Stack
    base: str


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A stack of our own, whose Redis has little memory."""
    with running_stack(tmp_path_factory.mktemp("memory")) as stack:
        base = stack.api()
        stack.worker("fake")
        with configured(stack, "maxmemory", str(int(MOST))):
            yield Running(stack, base)


def send(running: Running, shot: clients.Shot) -> clients.Reply:
    with closing(clients.connect(running.base)) as connection:
        return clients.send(connection, shot)


def test_without_room_a_request_is_429_at_once_and_one_that_never_fits_is_413(
    running: Running,
) -> None:
    too_large = send(running, clients.heavy_shot(1, int(MOST)))
    assert too_large.status == 413, too_large.text
    assert "maxmemory" in too_large.text
    held = running.stack.store.memory.reserve(int(MOST / 2 - 3 * MEGA))
    refused = send(running, clients.heavy_shot(2, HEAVY))
    assert (refused.status, refused.retry_after_s) == (429, 5), refused.text
    assert "no room" in refused.text
    assert refused.seconds < QUICK_S
    assert send(running, clients.mixed_shot(3)).status == 200
    running.stack.store.memory.release(held)
    assert send(running, clients.heavy_shot(4, HEAVY)).status == 200


@pytest.mark.slow
def test_more_than_fits_at_once_is_answered_and_leaves_nothing(running: Running) -> None:
    stack, used, over = running.stack, [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            used.append(dict(stack.redis.info("memory"))["used_memory"])

    def innocents() -> list[clients.Reply]:
        replies: list[clients.Reply] = []
        while not over.wait(0.2):
            replies.append(send(running, clients.mixed_shot(1000 + len(replies))))
        return replies

    with ThreadPoolExecutor(2) as pool:
        pool.submit(watch)
        innocent = pool.submit(innocents)
        try:
            heavy = (clients.heavy_shot(number, HEAVY) for number in range(12))
            tally = clients.run(running.base, heavy, clients=6)
        finally:
            over.set()
    assert (tally.right, tally.complaints("heavy")) == (12, [])
    assert max(used) <= MOST
    assert {reply.status for reply in innocent.result()} <= {200, 429}
    assert max(reply.seconds for reply in innocent.result()) < QUICK_S
    wait_for("nothing to be left", lambda: not leftovers(stack.redis))


@pytest.mark.slow
def test_a_redis_that_stays_full_is_waited_for_once_and_then_429(running: Running) -> None:
    path = f"{running.base}{API}/caption/fake"
    with full(running.stack), ThreadPoolExecutor(2) as pool:
        started = time.monotonic()
        first = pool.submit(partial(post, path))
        assert first.result().status_code == 429, first.result().text
        assert time.monotonic() - started < 10 + QUICK_S
        assert first.result().headers["Retry-After"] == "5"
        assert "OOM" in first.result().json()["error"]
        started = time.monotonic()
        assert post(path).status_code == 429
        assert time.monotonic() - started < QUICK_S
    running.stack.wait_ready("fake")
    assert post(path).status_code == 200
