"""Room in Redis is asked for now and then, not for each small request."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from api.limits import memory as limits
from api.limits.memory import REMEMBERED_PART, Room
from api.limits.shares import SHARES
from shared.errors import Overloaded
from shared.units import MEGA
from shared.vocabulary import Priority
from tests.redis_faults import configured
from tests.stack import Stack, running_stack

MOST = 64 * MEGA


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A Redis of our own, as its commands are counted and its memory is limited."""
    with (
        running_stack(tmp_path_factory.mktemp("room")) as stack,
        configured(stack, "maxmemory", str(int(MOST))),
    ):
        yield stack


def asked(stack: Stack) -> int:
    found: Any = stack.redis.info("commandstats")
    return int(found.get("cmdstat_evalsha", {"calls": 0})["calls"])


def hold(room: Room, size: float) -> None:
    with room.hold(int(size), time.time() + 10):
        pass


def test_small_requests_do_not_ask_each_time(running: Stack) -> None:
    room = Room(running.store.memory)
    before, count = asked(running), 50
    for _ in range(count):
        hold(room, 100_000)
    assert 1 <= asked(running) - before < count / 2


def test_what_was_left_counts_for_a_moment_only(
    running: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others take of it meanwhile."""
    monkeypatch.setattr(limits, "REMEMBERED_S", 0.0)
    room = Room(running.store.memory)
    before = asked(running)
    for _ in range(5):
        hold(room, 100_000)
    assert asked(running) - before == 5


def test_large_requests_ask_each_time(running: Stack) -> None:
    room = Room(running.store.memory)
    before = asked(running)
    for _ in range(5):
        hold(room, MOST / 2 * REMEMBERED_PART + 1)
    assert asked(running) - before == 5


def test_no_more_than_a_part_of_what_is_left_is_used_without_asking(running: Stack) -> None:
    room = Room(running.store.memory)
    before = asked(running)
    for _ in range(8):
        hold(room, MOST / 2 * REMEMBERED_PART / 2.5)
    assert asked(running) - before >= 8 / 3


def test_bulk_work_leaves_some_room_to_persons(running: Stack) -> None:
    persons, bulk = (Room(running.store.memory, SHARES[each]) for each in Priority)
    size = int(MOST / 2 * 0.4)
    with bulk.hold(size, time.time() + 10):
        with pytest.raises(Overloaded), bulk.hold(size, time.time() + 10):
            pass
        hold(persons, size)
