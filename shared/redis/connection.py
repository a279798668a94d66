"""The connection to Redis."""

import os
import ssl
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

FILES = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")
"""Options of TLS that name files."""
SPARE_TTL_S = 60
"""How long after its deadline a request's keys expire."""
SCAN_COUNT = 1000
"""Keys that Redis looks at in one go, which takes it less than a millisecond."""


def connect(url: str) -> "redis.Redis":
    """Return a client that fails at once instead of retrying: requests wait for its callers.

    Raises:
        ValueError: an option of TLS in the URL cannot be used.
    """
    try:
        client = redis.Redis.from_url(
            url, socket_connect_timeout=1, socket_timeout=5, retry=Retry(NoBackoff(), 0)
        )
        pool = client.connection_pool
        pool.connection_class(**pool.connection_kwargs)  # which is made, but not opened
    except (TypeError, ValueError, redis.RedisError) as err:
        raise ValueError(f"VISION_REDIS_URL cannot be used: {err}") from err
    _check_files(pool.connection_kwargs)
    return client


def _check_files(options: dict[str, Any]) -> None:
    for name in FILES:
        path = options.get(name)
        if path and not os.access(path, os.R_OK):
            raise ValueError(f"VISION_REDIS_URL names a file in {name} that cannot be read: {path}")
    if path := options.get("ssl_ca_certs"):
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
        except OSError as err:
            msg = (
                f"VISION_REDIS_URL names no file with certificates in ssl_ca_certs: {path} ({err})"
            )
            raise ValueError(msg) from err
