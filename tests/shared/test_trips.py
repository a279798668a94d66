"""Several commands in one trip to Redis, and what becomes of a connection that is gone."""

from collections.abc import Iterator

import pytest
import redis

from shared.redis import trips
from shared.redis.trips import in_one_trip
from tests.stack import Stack, running_stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A Redis of our own, which is restarted."""
    with running_stack(tmp_path_factory.mktemp("trips")) as running:
        yield running


def test_replies_come_in_order_however_large_the_values(stack: Stack) -> None:
    large = b"x" * 3_000_000
    replies = in_one_trip(
        stack.product_redis, [("SET", "large", large, "EX", 60), ("GET", "large"), ("GET", "none")]
    )
    assert replies == [b"OK", large, None]


def test_a_refused_command_raises_and_leaves_no_reply_for_the_next_trip(stack: Stack) -> None:
    stack.redis.set("text", "no list")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        in_one_trip(stack.product_redis, [("LPUSH", "text", 1), ("SET", "after", "done")])
    assert in_one_trip(stack.product_redis, [("GET", "after")]) == [b"done"]


def test_a_connection_that_redis_has_closed_is_replaced_before_it_is_used(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trips, "FRESH_S", 0)
    in_one_trip(stack.product_redis, [("PING",)])
    stack.restart_redis()
    assert in_one_trip(stack.product_redis, [("RPUSH", "list", 1)]) == [1]


def test_a_connection_that_is_lost_in_use_raises_and_is_replaced_by_the_next_trip(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trips, "FRESH_S", 3600)
    in_one_trip(stack.product_redis, [("PING",)])
    stack.restart_redis()
    with pytest.raises(redis.ConnectionError):
        in_one_trip(stack.product_redis, [("PING",)])
    in_one_trip(stack.product_redis, [("PING",)])
