"""How Redis is reached."""

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

SPARE_TTL_S = 60
"""How much longer than its request's deadline anything of a request may stay in Redis."""


def connect(url: str) -> "redis.Redis":
    """Return a client that fails at once instead of retrying: its callers hold a request."""
    return redis.Redis.from_url(
        url, socket_connect_timeout=1, socket_timeout=5, retry=Retry(NoBackoff(), 0)
    )
