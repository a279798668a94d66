"""Keeps a worker alive when Redis goes away while it holds unacknowledged messages.

kombu 5.7.0 then calls ``Channel._get_pool`` on a closed connection, whose ``client`` is ``None``,
and the ``AttributeError`` ends the worker, for it is none of the errors that Celery reconnects
after. Raising redis' own ``ConnectionError`` instead lets it reconnect. Reported with the same
traceback, closed and still so: https://github.com/celery/kombu/issues/582
``tests/workers/consumer/test_kombu_guard.py`` fails when a newer kombu needs this no more.
"""

from typing import Any

import redis
from kombu.transport.redis import Channel

_original: Any = vars(Channel)["_get_pool"]


def install() -> None:
    """Patch kombu in this process; harmless when done twice."""
    Channel._get_pool = _guarded  # type: ignore[attr-defined] # noqa: SLF001 - the faulty method


def _guarded(channel: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - kombu is untyped
    if getattr(channel.connection, "client", None) is None:
        raise redis.ConnectionError("The channel's connection is closed.")
    return _original(channel, *args, **kwargs)
