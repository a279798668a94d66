"""The connection to Redis."""

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

SPARE_TTL_S = 60
"""How long after its deadline a request's keys expire."""
SCAN_COUNT = 1000
"""Keys that Redis looks at in one go, which takes it less than a millisecond."""


def connect(url: str) -> "redis.Redis":
    """Return a client that fails at once instead of retrying: requests wait for its callers.

    Raises:
        ValueError: the URL has an option that redis-py does not know, or cannot read.
    """
    try:
        client = redis.Redis.from_url(
            url, socket_connect_timeout=1, socket_timeout=5, retry=Retry(NoBackoff(), 0)
        )
        pool = client.connection_pool
        pool.connection_class(**pool.connection_kwargs)  # connects to nothing, and reads options
    except (TypeError, ValueError) as err:
        msg = f"VISION_REDIS_URL has a wrong option behind ? ({err})."
        raise ValueError(msg) from err
    return client
