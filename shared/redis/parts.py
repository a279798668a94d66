"""Parts of streamed replies."""

import json

import redis

from shared.messages import JsonObject
from shared.redis.connection import SPARE_TTL_S


class ReplyParts:
    """``vision:part:<task id>``: a list, from a worker to the API that streams the reply."""

    def __init__(self, client: "redis.Redis") -> None:
        self._redis = client

    def push(self, task_id: str, part: JsonObject) -> None:
        """Append a part of a reply."""
        key = f"vision:part:{task_id}"
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.rpush(key, json.dumps(part))
            pipe.expire(key, SPARE_TTL_S)
            pipe.execute()

    def pop(self, task_id: str, timeout_s: float) -> JsonObject | None:
        """Wait for the next part of a reply; ``None`` if none arrives in ``timeout_s``."""
        popped = self._redis.blpop([f"vision:part:{task_id}"], timeout=timeout_s)
        return None if popped is None else dict(json.loads(popped[1]))
