"""Cancelled tasks: nobody waits for their answer any more."""

from collections.abc import Sequence
from typing import Any

import redis

from shared.redis.connection import SPARE_TTL_S


def cancellation_key(task_id: str) -> str:
    """Return the key that says that a task is cancelled."""
    return f"vision:cancelled:{task_id}"


class Cancellations:
    """``vision:cancelled:<task id>``: workers must not run this task.

    Celery's ``revoke`` is not used: it is broadcast to every worker, and leaves results behind.
    """

    def __init__(self, client: "redis.Redis") -> None:
        self._redis = client

    def add(self, task_id: str, ttl_s: float) -> None:
        """Cancel a task; its deadline is in ``ttl_s`` seconds."""
        self._redis.set(cancellation_key(task_id), 1, ex=int(ttl_s) + SPARE_TTL_S)

    def among(self, task_ids: Sequence[str]) -> set[str]:
        """Return those of ``task_ids`` that are cancelled."""
        marks: list[Any] = self._redis.mget([cancellation_key(task_id) for task_id in task_ids])
        return {task_id for task_id, mark in zip(task_ids, marks, strict=True) if mark}
