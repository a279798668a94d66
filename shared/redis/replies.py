"""Replies of workers to the API."""

import json
from collections.abc import Sequence
from typing import NamedTuple

import redis

from shared.messages import JsonObject
from shared.redis.connection import SPARE_TTL_S
from shared.redis.leases import lease_key
from shared.redis.trips import Command, in_one_trip, replies_to

_COMMANDS = 3
"""How many commands an end takes."""


def reply_key(task_id: str) -> str:
    """Return the key of the reply to a task."""
    return f"vision:reply:{task_id}"


class End(NamedTuple):
    """How a job ended."""

    task_id: str
    """Celery's id of the task."""
    message: JsonObject
    """See :func:`~shared.messages.end_message`."""
    inputs: Sequence[str]
    """Keys of the job's inputs, which nobody needs any more."""


class Replies:
    """``vision:reply:<task id>``: a list that a worker appends to and the API reads.

    It has the parts of a streamed reply, if it is one, and at last how the job ended. Celery's
    result backend would take nine commands where this takes three, and has no parts.
    """

    def __init__(self, client: "redis.Redis") -> None:
        self._redis = client

    def push_part(self, task_id: str, part: JsonObject) -> None:
        """Append a part of a streamed reply."""
        in_one_trip(self._redis, _appending(task_id, {"part": part}))

    def push_ends(self, ends: Sequence[End]) -> list[redis.RedisError | None]:
        """Append how some jobs ended, and delete their inputs; return the error of each, if any."""
        commands = [command for end in ends for command in _ending(end)]
        try:
            replies = replies_to(self._redis, commands)
        except redis.RedisError as err:
            return [err] * len(ends)
        of_each = (
            replies[start : start + _COMMANDS] for start in range(0, len(replies), _COMMANDS)
        )
        return [
            next((reply for reply in some if isinstance(reply, redis.RedisError)), None)
            for some in of_each
        ]

    def wake(self, task_id: str) -> None:
        """Have whoever waits for the next message get one that says nothing."""
        in_one_trip(self._redis, _appending(task_id, {}))

    def pop(self, task_id: str, timeout_s: float) -> JsonObject | None:
        """Wait for the next message; ``None`` if none arrives in ``timeout_s``."""
        (popped,) = in_one_trip(self._redis, [("BLPOP", reply_key(task_id), f"{timeout_s:.3f}")])
        return None if popped is None else dict(json.loads(popped[1]))


def _appending(task_id: str, message: JsonObject) -> list[Command]:
    key = reply_key(task_id)
    return [("RPUSH", key, json.dumps(message)), ("EXPIRE", key, SPARE_TTL_S)]


def _ending(end: End) -> list[Command]:
    useless = ("DEL", *end.inputs, lease_key(end.task_id))
    return [*_appending(end.task_id, end.message), useless]
