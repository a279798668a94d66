"""What the API does while Redis cannot be reached, for example because it restarts."""

import time
from collections.abc import Callable
from typing import TypeVar

import celery.exceptions
import kombu.exceptions
import redis

from shared.errors import BrokerUnavailable

T = TypeVar("T")

RETRY_FOR_S = 4.0
RETRY_PAUSE_S = 0.2
CONNECTION_ERRORS = (
    redis.ConnectionError,
    redis.TimeoutError,
    kombu.exceptions.OperationalError,
    OSError,
)
"""What a call to Redis raises while Redis cannot be reached."""
RESULT_ERRORS = (
    *CONNECTION_ERRORS,
    redis.RedisError,
    celery.exceptions.BackendError,
    # Celery's result consumer cannot reconnect: https://github.com/celery/celery/pull/10189
    RuntimeError,
)
"""What reading a Celery result raises while Redis cannot be reached, or refuses."""


def retry_while_unreachable(call: Callable[[], T]) -> T:
    """Call Redis, repeatedly for some seconds while it cannot be reached.

    PhotoPrism does not repeat a request after 503, so waiting a little is better than failing fast.

    Raises:
        BrokerUnavailable: Redis cannot be reached, or refuses, as it does when it is full.
    """
    deadline = time.monotonic() + RETRY_FOR_S
    while True:
        try:
            return call()
        except CONNECTION_ERRORS as err:
            if time.monotonic() > deadline:
                raise BrokerUnavailable("Redis does not answer. Try again soon.") from err
            time.sleep(RETRY_PAUSE_S)
        except redis.RedisError as err:
            raise BrokerUnavailable(
                "Redis refuses the request; its memory may be full. Try again soon."
            ) from err
