"""Clients that hang up while they wait: it is noticed at once, and next to nothing is wasted."""

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import pytest

from benchmarks.prove.leftovers import leftovers
from tests.integration.client import post, posting
from tests.raw_http import caption_request, crowd
from tests.stack import API, Stack, running_stack, wait_for

CLIENTS = 32
WASTED = 2
SLOTS = 16
NO_POLLING = "import api.dispatch; api.dispatch.POLL_S = 30"
"""So that nothing but the end of its connection wakes a request that waits."""


class Running(NamedTuple):
    stack: Stack
    base: str


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A stack of our own, whose keys in Redis are counted."""
    with running_stack(tmp_path_factory.mktemp("hang-ups")) as stack:
        stack.worker("leisurely")
        slots = {"VISION_REQUEST_SLOTS": str(SLOTS), "VISION_SLOT_WAIT_S": "2"}
        yield Running(stack, stack.api(before=NO_POLLING, **slots))


@contextlib.contextmanager
def waiting(running: Running, count: int) -> Iterator[None]:
    """Have so many clients wait for an answer, who hang up when the block ends."""
    redis, request = running.stack.redis, caption_request(f"{API}/caption/leisurely")
    with crowd(running.base, count, request):
        wait_for("all images", lambda: len(redis.keys("vision:image:*")) >= count)
        yield


def images(stack: Stack) -> int:
    return sum(worker.images for worker in stack.presence("leisurely").workers)


def test_hardly_anything_is_inferred_for_those_who_hung_up(running: Running) -> None:
    stack, base = running
    many = stack.api(before=NO_POLLING)
    with posting(f"{base}{API}/caption/leisurely") as replies:
        wait_for("a running batch", lambda: stack.redis.keys("vision:lease:*"))
        with waiting(Running(stack, many), CLIENTS):
            pass
    assert replies[0].status_code == 200
    assert post(f"{base}{API}/caption/leisurely").status_code == 200
    wait_for("an empty Redis", lambda: not leftovers(stack.redis))
    wait_for("the count", lambda: images(stack) >= 2)
    assert images(stack) - 2 <= WASTED


def test_those_who_follow_find_the_slots_free(running: Running) -> None:
    stack, base = running
    stack.worker("fake")
    with waiting(running, SLOTS):
        pass
    started = time.monotonic()
    with ThreadPoolExecutor(SLOTS) as pool:
        asks = [pool.submit(partial(post, f"{base}{API}/caption/fake")) for _ in range(4 * SLOTS)]
        assert {ask.result().status_code for ask in asks} == {200}
    assert time.monotonic() - started < 20
