"""What requests leave behind: keys in Redis."""

import re
from typing import Any

import redis

_LASTING = re.compile(
    r"_kombu\.|unacked_mutex|vision:(?:workers?|seen|ollama|claim|writable|cancelled)\b"
)
"""Keys of workers and queues, and marks of cancelled tasks, which outlive their deadline."""


def leftovers(client: "redis.Redis") -> list[str]:
    """Return the keys that belong to requests: images, leases, messages, results, parts."""
    keys: Any = client.keys("*")
    return sorted(key.decode() for key in keys if not _LASTING.match(key.decode()))
