"""The encoded images of unanswered requests."""

import uuid
from collections.abc import Sequence
from typing import Any

import redis

from shared.redis.connection import SPARE_TTL_S


def new_image_keys(count: int) -> tuple[str, ...]:
    """Return unique keys for the images of a job; clients may repeat request ids."""
    unique = uuid.uuid4()
    return tuple(f"vision:image:{unique}:{n}" for n in range(count))


class Images:
    """``vision:image:<unique>:<n>``: written by the API, read by a worker, then deleted."""

    def __init__(self, client: "redis.Redis") -> None:
        self._redis = client

    def put(self, keys: Sequence[str], images: Sequence[bytes], ttl_s: float) -> None:
        """Store the images of a request whose deadline is in ``ttl_s`` seconds."""
        with self._redis.pipeline(transaction=False) as pipe:
            for key, image in zip(keys, images, strict=True):
                pipe.set(key, image, ex=int(ttl_s) + SPARE_TTL_S)
            pipe.execute()

    def get(self, keys: Sequence[str]) -> list[bytes] | None:
        """Return the images, or ``None`` when their request has ended and they are deleted."""
        images: list[Any] = self._redis.mget(list(keys)) if keys else []
        return None if None in images else images
