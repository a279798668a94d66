"""The connection to Redis."""

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

SPARE_TTL_S = 60
"""How long after its deadline a request's keys expire."""
SCAN_COUNT = 1000
"""Keys that Redis looks at in one go, which takes it less than a millisecond."""


def connect(url: str) -> "redis.Redis":
    """Return a client that fails at once instead of retrying: requests wait for its callers."""
    return redis.Redis.from_url(
        url, socket_connect_timeout=1, socket_timeout=5, retry=Retry(NoBackoff(), 0)
    )
