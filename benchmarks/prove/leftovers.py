"""What requests leave behind: keys in Redis."""

import re
from typing import Any

import redis

_OF_REQUESTS = re.compile(
    r"vision:(?:image|job|lease|reply|pending)\b|vision\.|unacked(?:_index)?$|celery-task-meta-"
)
"""Inputs, leases, replies, queues and messages on them, results; not marks of cancelled tasks,
which outlive their deadline, nor keys of workers and of Celery."""
_DELETED_BY_API = ("vision:image:", "vision:job:", "vision:pending", "vision:reply:")


def leftovers(client: "redis.Redis", *, of_killed_api: bool = True) -> list[str]:
    """Return the keys of requests.

    Args:
        client: Redis.
        of_killed_api: also those that only the API deletes; if it is killed, they expire.
    """
    keys: Any = client.keys("*")
    names = [key.decode() for key in keys if _OF_REQUESTS.match(key.decode())]
    ignored = () if of_killed_api else _DELETED_BY_API
    return sorted(name for name in names if not name.startswith(ignored))
