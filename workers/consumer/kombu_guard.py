"""Keeps a worker alive when Redis goes away, and has it back soon after Redis is.

While the worker holds unacknowledged messages, kombu 5.7.0 calls ``Channel._get_pool`` on a closed
connection, whose ``client`` is ``None``, and the ``AttributeError`` ends the worker, for it is none
of the errors that Celery reconnects after. Raising redis' own ``ConnectionError`` instead lets it
reconnect. Reported with the same traceback, closed and still so:
https://github.com/celery/kombu/issues/582
``tests/workers/consumer/test_kombu_guard.py`` fails when a newer kombu needs this no more.

kombu also waits longer and longer between two attempts to connect, up to 32 seconds, and Celery has
no setting for that. Requests would wait so much longer for a Redis that is back, and the watchdog
would end the worker meanwhile.

Celery would log as it is what Redis refuses while it connects: a Redis that does not know ``HELLO``
repeats the password.

And kombu puts the messages that a worker holds back on the queue when its connection is lost. But
the worker goes on with them, so each would be run twice.
"""

from collections.abc import Callable
from typing import Any

import redis
from kombu import Connection
from kombu.transport.redis import Channel

from shared.redis.faults import describe, is_refusal

RECONNECT_S = 1
"""Between two attempts to connect."""
_original: Any = vars(Channel)["_get_pool"]
_ensure_connection: Any = vars(Connection)["ensure_connection"]


def install() -> None:
    """Patch kombu in this process; harmless when done twice."""
    Channel._get_pool = _guarded  # type: ignore[attr-defined] # noqa: SLF001 - the faulty method
    patched: Any = Connection
    patched.ensure_connection = _without_growing_pauses
    Channel.do_restore = False


def _guarded(channel: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - kombu is untyped
    if getattr(channel.connection, "client", None) is None:
        raise redis.ConnectionError("The channel's connection is closed.")
    return _original(channel, *args, **kwargs)


def _without_growing_pauses(
    connection: Any,  # noqa: ANN401
    errback: Callable[[Exception, float], object] | None = None,
    *args: Any,  # noqa: ANN401
    **kwargs: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    def tell(error: Exception, interval: float) -> None:
        if errback:
            errback(redis.RedisError(describe(error)) if is_refusal(error) else error, interval)

    pauses = {"interval_start": RECONNECT_S, "interval_step": 0, "interval_max": RECONNECT_S}
    return _ensure_connection(connection, tell, *args, **{**pauses, **kwargs})
