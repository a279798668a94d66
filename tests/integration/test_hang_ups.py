"""Clients that hang up while they wait: it is noticed at once, and nothing is wasted."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

from benchmarks.prove.leftovers import leftovers
from tests.integration.client import post
from tests.raw_http import caption_request, crowd
from tests.stack import API, Stack, running_stack, wait_for

PATH = f"{API}/caption/fake"
CLIENTS = 32
SLOTS = 16
NO_POLLING = "import api.dispatch; api.dispatch.POLL_S = 60"
"""So that nothing but the end of its connection wakes a request that waits."""


class Running(NamedTuple):
    stack: Stack
    base: str


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A stack of our own, whose keys in Redis are counted."""
    with running_stack(tmp_path_factory.mktemp("hang-ups")) as stack:
        slots = {"VISION_REQUEST_SLOTS": str(SLOTS), "VISION_SLOT_WAIT_S": "30"}
        yield Running(stack, stack.api(before=NO_POLLING, **slots))


def hang_up(stack: Stack, base: str, count: int) -> None:
    """Have so many clients hang up whose images are in Redis."""
    before = len(stack.redis.keys("vision:image:*"))
    with crowd(base, count, caption_request(PATH)):
        wait_for("all images", lambda: len(stack.redis.keys("vision:image:*")) == before + count)


def images(stack: Stack) -> int:
    return sum(worker.images for worker in stack.presence("fake").workers)


def logged(stack: Stack, status: str) -> int:
    """How many requests of one image have had this end."""
    return stack.processes.logs("worker-fake").count(f'"status": "{status}"')


def test_nothing_is_inferred_for_those_who_hung_up(running: Running) -> None:
    stack, base = running
    many = stack.api(before=NO_POLLING)
    stack.worker("fake")
    before, gone = logged(stack, "done"), logged(stack, "dropped")
    wait_for("the count", lambda: images(stack) == before)
    with ThreadPoolExecutor(1) as pool:
        with stack.suspended("fake"):
            reply = pool.submit(post, f"{base}{PATH}")
            stack.wait_held("fake", 1)
            hang_up(stack, many, CLIENTS)
            wait_for("the worker to drop them", lambda: logged(stack, "dropped") == gone + CLIENTS)
        assert reply.result().status_code == 200
    assert post(f"{base}{PATH}").status_code == 200
    wait_for("an empty Redis", lambda: not leftovers(stack.redis))
    wait_for("the count", lambda: images(stack) >= before + 2)
    assert images(stack) == before + 2


def test_those_who_follow_find_the_slots_free(running: Running) -> None:
    stack, base = running
    with stack.suspended("fake"):
        hang_up(stack, base, SLOTS)
    with ThreadPoolExecutor(SLOTS) as pool:
        replies = [pool.submit(post, f"{base}{PATH}") for _ in range(4 * SLOTS)]
        assert {reply.result().status_code for reply in replies} == {200}
