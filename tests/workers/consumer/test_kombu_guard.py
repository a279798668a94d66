"""The guard against a fault of kombu 5.7, and whether it is still needed."""

from types import SimpleNamespace
from typing import Any

import pytest
import redis
from kombu import Connection
from kombu.transport.redis import Channel

from launcher.ports import LOOPBACK, free_port
from workers.consumer import kombu_guard

CLOSED: Any = SimpleNamespace(connection=SimpleNamespace(client=None))
"""A channel as it is after its connection was closed."""


def test_kombu_itself_still_fails_with_an_error_that_ends_the_worker() -> None:
    # When this fails, kombu has been mended: remove `_guarded`, and what is said of it.
    with pytest.raises(AttributeError):
        kombu_guard._original(CLOSED)


def test_the_guard_raises_what_celery_reconnects_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Channel, "_get_pool", Channel.__dict__["_get_pool"])
    kombu_guard.install()
    with pytest.raises(redis.ConnectionError):
        Channel.__dict__["_get_pool"](CLOSED)


def test_attempts_to_connect_come_at_short_intervals_however_many_fail(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Channel, "_get_pool", Channel.__dict__["_get_pool"])
    monkeypatch.setattr(Connection, "ensure_connection", Connection.__dict__["ensure_connection"])
    kombu_guard.install()
    pauses: list[float] = []

    def failed(_: Exception, pause_s: float) -> None:
        pauses.append(pause_s)
        if len(pauses) == 3:
            raise StopAsyncIteration

    with (
        Connection(f"redis://{LOOPBACK}:{free_port()}/0") as connection,
        pytest.raises(StopAsyncIteration),
    ):
        connection.ensure_connection(failed)
    assert pauses == [kombu_guard.RECONNECT_S] * 3
