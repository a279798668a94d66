"""The guard against a fault of kombu 5.7, and whether it is still needed."""

from types import SimpleNamespace
from typing import Any

import pytest
import redis
from kombu.transport.redis import Channel

from workers.consumer import kombu_guard

CLOSED: Any = SimpleNamespace(connection=SimpleNamespace(client=None))
"""A channel as it is after its connection was closed."""


def test_kombu_itself_still_fails_with_an_error_that_ends_the_worker() -> None:
    # When this fails, kombu has been mended: remove workers/consumer/kombu_guard.py.
    with pytest.raises(AttributeError):
        kombu_guard._original(CLOSED)


def test_the_guard_raises_what_celery_reconnects_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Channel, "_get_pool", Channel.__dict__["_get_pool"])
    kombu_guard.install()
    with pytest.raises(redis.ConnectionError):
        Channel.__dict__["_get_pool"](CLOSED)
