"""The engine's look-up of cancelled tasks."""

import socket
import time

from launcher.ports import LOOPBACK
from shared.redis import deadline
from shared.redis.connection import connect
from shared.redis.store import Store
from tests.stack import Stack
from workers.consumer.app import CANCELLED_S, cancellations_in


def test_cancelled_tasks_are_found(stack: Stack) -> None:
    stack.store.cancellations.add("cancelled", 5)
    assert cancellations_in(stack.store)(["cancelled", "other"]) == {"cancelled"}


def test_a_silent_redis_holds_up_no_batch() -> None:
    deadline.install()
    with socket.create_server((LOOPBACK, 0)) as silent:
        store = Store(connect(f"redis://{LOOPBACK}:{silent.getsockname()[1]}/0"))
        started = time.monotonic()
        assert cancellations_in(store)(["any"]) == set()
        assert time.monotonic() - started < CANCELLED_S + 3  # and not redis-py's own 5 s
