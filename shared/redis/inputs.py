"""What a worker needs for a job besides its message: images, and instructions that are large.

The message is small, however much a client sends: it is delivered, shown in Flower and kept in
memory as a whole.
"""

import json
from collections.abc import Sequence
from typing import Any

import redis

from shared.messages import Job
from shared.redis.cancellations import cancellation_key
from shared.redis.trips import in_one_trip

MOST_IN_MESSAGE = 16 * 1024
"""Bytes of a job's JSON in its message. A usual prompt has some hundred."""


def store_inputs(task_id: str, job: Job, images: Sequence[bytes]) -> tuple[str, dict[str, bytes]]:
    """Return a job in JSON as its message has it, and by their keys the inputs that lie beside it.

    Args:
        task_id: Celery's id of the task.
        job: the whole job, without its images.
        images: the encoded images.
    """
    keys = tuple(f"vision:image:{task_id}:{number}" for number in range(len(images)))
    inputs = dict(zip(keys, images, strict=True))
    text = _json_of(job.model_copy(update={"images": keys}))
    if len(text) <= MOST_IN_MESSAGE:
        return text, inputs
    key = f"vision:job:{task_id}"
    about = {"request_id": job.request_id, "tasks": job.tasks, "deadline": job.deadline}
    in_message = Job(images=keys, stored_as=key, **about)
    return _json_of(in_message), {**inputs, key: text.encode()}


def _json_of(job: Job) -> str:
    return job.model_dump_json(exclude_defaults=True, ensure_ascii=True)


class Inputs:
    """``vision:image:<task id>:<n>`` and ``vision:job:<task id>``.

    The API writes them with the message (:mod:`shared.redis.publishing`), a worker reads them, and
    deletes them with its reply.
    """

    def __init__(self, client: "redis.Redis") -> None:
        self._redis = client

    def get(
        self, jobs: Sequence[tuple[str, Job]]
    ) -> list[tuple[Job, list[bytes]] | ValueError | None]:
        """Return whole jobs and their images, or ``None`` where nobody waits any more.

        The request has ended then, and they are deleted; or it has been cancelled. In the place of
        a job that cannot be read there is the error: the others are none the worse for it.

        Args:
            jobs: Celery's ids of the tasks, and the jobs as their messages have them.
        """
        found = in_one_trip(
            self._redis, [("MGET", cancellation_key(task_id), *job.keys) for task_id, job in jobs]
        )
        return [_whole(job, *values) for (_, job), values in zip(jobs, found, strict=True)]


def _whole(
    job: Job,
    cancelled: Any,  # noqa: ANN401 - what Redis replies, here and below
    *inputs: Any,  # noqa: ANN401
) -> tuple[Job, list[bytes]] | ValueError | None:
    if cancelled or None in inputs:
        return None
    if job.stored_as:
        *inputs, stored = inputs  # type: ignore[assignment]
        try:
            # As the job of a message is read: pydantic's own parser takes fewer levels than that.
            job = Job.model_validate(json.loads(stored))
        except ValueError as err:
            return err
    return job, list(inputs)
