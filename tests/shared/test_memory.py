"""Room in Redis for what requests store there."""

from collections.abc import Iterator

import pytest

from shared.redis import memory
from shared.redis.memory import Memory
from shared.units import MEGA
from tests.redis_faults import FAULTS, configured
from tests.stack import Stack, running_stack, wait_for

MOST = 60 * MEGA
"""Of Redis' memory; an empty one uses 1 MB, and buffers may hold what was written a moment ago."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A Redis of our own, as its limits are changed."""
    with (
        running_stack(tmp_path_factory.mktemp("memory")) as stack,
        configured(stack, "maxmemory", str(int(MOST))),
    ):
        yield stack


@pytest.fixture
def room(running: Stack) -> Memory:
    running.redis.flushall()
    return running.store.memory


def granted(room: Memory, megabytes: float) -> bool:
    return room.reserve(int(megabytes * MEGA)).granted


def test_what_is_written_and_what_others_are_about_to_write_counts(
    running: Stack, room: Memory
) -> None:
    running.redis.set("written", bytes(int(4 * MEGA)))
    writer = room.reserve(int(12 * MEGA))
    assert writer.granted
    assert writer.limit_bytes == MOST / 2
    assert not granted(room, 16)
    room.release(writer)
    assert granted(room, 16)


def test_the_room_of_a_writer_that_died_is_free_after_a_while(
    monkeypatch: pytest.MonkeyPatch, running: Stack, room: Memory
) -> None:
    monkeypatch.setattr(memory, "WRITE_S", 2)
    assert granted(room, 16)
    assert 0 < running.redis.ttl("vision:pending") <= 2
    assert not granted(room, 16)
    wait_for("the end of the writer's time", lambda: granted(room, 16))


@pytest.mark.parametrize("name", ["OOM", "READONLY", "NOREPLICAS", "MISCONF"])
def test_a_redis_that_refuses_to_write_is_left_to_say_so_itself(
    running: Stack, room: Memory, name: str
) -> None:
    with FAULTS[name](running):
        reservation = room.reserve(1)
        assert (reservation.granted, reservation.token) == (True, "")


def test_without_a_limit_there_is_room_for_everything(running: Stack, room: Memory) -> None:
    with configured(running, "maxmemory", "0"):
        assert granted(room, 1e6)


def test_where_info_is_forbidden_no_limit_is_known(running: Stack, room: Memory) -> None:
    running.redis.acl_setuser("default", enabled=True, commands=["-info"])
    try:
        assert granted(room, 1e6)
    finally:
        running.redis.acl_setuser("default", enabled=True, commands=["+info"])
