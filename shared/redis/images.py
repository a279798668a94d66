"""The encoded images of unanswered requests."""

from collections.abc import Sequence
from typing import Any

import redis

from shared.redis.cancellations import cancellation_key
from shared.redis.connection import SPARE_TTL_S


def image_keys(task_id: str, count: int) -> tuple[str, ...]:
    """Return the keys of a task's images."""
    return tuple(f"vision:image:{task_id}:{n}" for n in range(count))


class Images:
    """``vision:image:<task id>:<n>``: written by the API, read by a worker, then deleted."""

    def __init__(self, client: "redis.Redis") -> None:
        self._redis = client

    def put(self, keys: Sequence[str], images: Sequence[bytes], ttl_s: float) -> None:
        """Store the images of a request whose deadline is in ``ttl_s`` seconds."""
        with self._redis.pipeline(transaction=False) as pipe:
            for key, image in zip(keys, images, strict=True):
                pipe.set(key, image, ex=int(ttl_s) + SPARE_TTL_S)
            pipe.execute()

    def get(self, keys: Sequence[str], task_id: str) -> list[bytes] | None:
        """Return the images of a task, or ``None`` if nobody waits for its answer any more.

        Its request has ended then, and they are deleted; or it has been cancelled.
        """
        found: list[Any] = self._redis.mget([cancellation_key(task_id), *keys])
        cancelled, *images = found
        return None if cancelled or None in images else images
