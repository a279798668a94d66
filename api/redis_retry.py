"""Every call of the API to Redis: how long it may take, and the one error that comes of its faults.

Redis is called through redis-py, Celery and kombu. Each raises errors of its own when Redis cannot
be reached, does not answer or refuses; here they all become :class:`BrokerUnavailable`.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import kombu.exceptions
import redis
import structlog

from shared.errors import BrokerUnavailable, Overloaded
from shared.redis.deadline import redis_within
from shared.redis.faults import describe, is_full, passes_by_itself

T = TypeVar("T")

log = structlog.get_logger(__name__)

RETRY_FOR_S = 30.0
"""How long a request waits at most for a Redis that does not serve. A restart and a failover take
less, and PhotoPrism does not repeat a request after 503, so waiting is better than failing fast."""
FULL_S = 10.0
"""How long requests wait at most for a Redis that is full, since the first of them found it so. It
may stay full for as long as they hold what it is full of, so those that come later do not wait."""
FULL_AGAIN_S = 10.0
"""After this time without such an answer, Redis counts as full anew."""
BRIEF_RETRY_S = 4.0
"""The same for requests that no model answers, such as the list of models."""
RETRY_PAUSE_S = 0.2
CLEANUP_S = 0.5
"""How long a reply waits at most until what is left in Redis is deleted; it expires anyway."""
_ERRORS = (
    redis.RedisError,
    kombu.exceptions.OperationalError,
    OSError,
)
_ACCIDENTS = (AttributeError, KeyError)
"""What the libraries also raise when a connection goes while they use it: kombu uses closed
channels."""
_LIBRARIES = ("celery", "kombu", "redis", "vine")


@contextlib.contextmanager
def redis_call(seconds: float) -> Iterator[None]:
    """Bound what this block waits for Redis, and raise one error for all faults of Redis.

    Raises:
        BrokerUnavailable: Redis cannot be reached, refuses, or did not answer in ``seconds``.
    """
    try:
        with redis_within(seconds):
            yield
    except Exception as err:
        if not _is_fault_of_redis(err):
            raise
        raise BrokerUnavailable(f"{describe(err)} Try again soon.") from err


def retry_while_unreachable(call: Callable[[], T], until: float | None = None) -> T:
    """Call Redis, repeatedly while it does not serve, for :data:`RETRY_FOR_S` at most.

    Args:
        call: what to do.
        until: the request's deadline in seconds since the epoch; ``None``: it has none, and waits
            for :data:`BRIEF_RETRY_S`.

    Raises:
        Overloaded: Redis is full, and has been for :data:`FULL_S`.
        BrokerUnavailable: Redis has not served for all that time, or refuses for good.
    """
    now = time.time()
    until = now + BRIEF_RETRY_S if until is None else min(until, now + RETRY_FOR_S)
    while True:
        try:
            with redis_call(until - time.time()):
                return call()
        except BrokerUnavailable as err:
            cause = err.__cause__ or err
            if is_full(cause) and time.time() + RETRY_PAUSE_S >= min(until, _fullness.ends_at()):
                raise Overloaded(err.message) from cause
            if not passes_by_itself(cause) or time.time() + RETRY_PAUSE_S >= until:
                raise
            time.sleep(RETRY_PAUSE_S)


class _Fullness:
    """Since when Redis has been full, as far as the requests of this process have seen."""

    def __init__(self) -> None:
        self._since = self._seen_at = -math.inf

    def ends_at(self) -> float:
        """Record that Redis is full; return until when that is waited out, since the epoch."""
        now = time.time()
        if now - self._seen_at > FULL_AGAIN_S:
            self._since = now
        self._seen_at = now
        return self._since + FULL_S


_fullness = _Fullness()


def clean_up(call: Callable[[], object]) -> None:
    """Call, and ignore that Redis does not serve: what stays there expires by itself."""
    try:
        with redis_call(CLEANUP_S):
            call()
    except BrokerUnavailable as err:
        log.warning("could not clean up", error=err.message)


def _is_fault_of_redis(error: Exception) -> bool:
    if isinstance(error, _ERRORS):
        return True
    return isinstance(error, _ACCIDENTS) and _origin(error) in _LIBRARIES


def _origin(error: Exception) -> str:
    """Return the package whose code raised an error."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module = trace.tb_frame.f_globals.get("__name__", "") if trace else ""
    return str(module).partition(".")[0]
