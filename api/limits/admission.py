"""What is let in: is Redis there, does somebody serve the model, is its queue short enough."""

import time
from collections.abc import Callable
from typing import TypeVar

import kombu.exceptions
import redis

from shared.errors import BrokerUnavailable, ModelUnavailable, Overloaded
from shared.model_spec import ModelSpec
from shared.redis.presence import Presence

T = TypeVar("T")

PATIENCE_S = 4.0
RETRY_S = 0.2
AWAY = (redis.ConnectionError, redis.TimeoutError, kombu.exceptions.OperationalError, OSError)
"""Redis cannot be reached; it may be restarting."""


def patiently(call: Callable[[], T]) -> T:
    """Call Redis, again for a while when it cannot be reached.

    PhotoPrism does not repeat a request after 503, so a short wait is kinder than a quick no.

    Raises:
        BrokerUnavailable: Redis cannot be reached, or refuses, as it does when it is full.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return call()
        except AWAY as err:
            if time.monotonic() > deadline:
                raise BrokerUnavailable("Redis does not answer. Try again soon.") from err
            time.sleep(RETRY_S)
        except redis.RedisError as err:
            raise BrokerUnavailable(
                "Redis refuses the request; its memory may be full. Try again soon."
            ) from err


def check_served(spec: ModelSpec, presence: Presence) -> None:
    """Refuse at once what no worker will answer; a worker that is just restarting is waited for.

    Raises:
        ModelUnavailable: nobody serves the model, or all who do failed to load or still download.
    """
    if not presence.workers:
        if presence.seen:
            return
        raise ModelUnavailable(
            f"No worker serves {spec.name}. Start one (VISION_MODELS={spec.queue_owner})."
        )
    if not any(worker.state.serves for worker in presence.workers):
        first = presence.workers[0]
        raise ModelUnavailable(f"{spec.name} is {first.state}: {first.reason or 'no details'}")


def check_queue(spec: ModelSpec, presence: Presence) -> None:
    """Refuse what would wait behind too many others.

    Raises:
        Overloaded: the model's queue is at its limit.
    """
    if presence.queued >= spec.limits.queue:
        raise Overloaded(f"{presence.queued} requests wait for {spec.name}. Try again later.")
