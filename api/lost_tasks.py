"""Detects lost tasks: neither on their queue nor held by a worker that is alive."""

import time
from collections.abc import Callable

import redis

from api.limits.admission import check_served
from shared.model_spec import ModelSpec
from shared.redis.leases import Leases, TaskLocation
from shared.redis.presence import Presence

FIRST_CHECK_S = 1.0
"""How long after it was queued a task is not checked yet."""
LOST_UNSEEN_S = 3.0
"""How long a task may be neither queued nor held before it counts as lost: longer than it takes a
worker to write the lease of a message that it has received, with its next heartbeat."""
LOST_SEEN_S = 1.0
"""The same for a task that a worker held before: its lease has just expired."""


class TaskLost(Exception):
    """The task is neither on its queue nor held by a worker that is alive."""


class TaskWatch:
    """Follows one published task from its queue to a worker."""

    def __init__(
        self,
        task_id: str,
        spec: ModelSpec,
        queue: str,
        leases: Leases,
        presence: Callable[[ModelSpec], Presence],
    ) -> None:
        """Start watching; call this after the task was published.

        Args:
            task_id: the task's id.
            spec: the model.
            queue: which of its queues the task is on.
            leases: where to look up which worker holds the task.
            presence: returns which workers serve a model.
        """
        self._task_id, self._spec, self._queue = task_id, spec, queue
        self._leases, self._presence = leases, presence
        # The time is taken after the message is queued: a message with a later stamp is behind
        # ours, so when the oldest message has a later stamp, ours has left the queue.
        self._queued_at = time.time()
        self._was_held = False
        self._missing_since: float | None = None

    @property
    def was_held(self) -> bool:
        """Whether a worker held the task since it was last queued."""
        return self._was_held

    def check(self) -> None:
        """Raise an error if no result can be expected any more.

        Raises:
            TaskLost: publish the job again.
            ModelUnavailable: no worker holds the task, and none serves its model.
        """
        now = time.time()
        if now - self._queued_at < FIRST_CHECK_S:
            return
        try:
            location = self._leases.locate(self._task_id, self._queue, self._queued_at)
            if not location.held:
                check_served(self._spec, self._presence(self._spec))
        except redis.RedisError:
            self._missing_since = None
        else:
            self._update(location, now)

    def _update(self, location: TaskLocation, now: float) -> None:
        if location.held:
            self._was_held, self._missing_since = True, None
            if not location.holder_alive:
                raise TaskLost
            return
        if location.queued_at != self._queued_at:  # a worker has requeued it
            self._queued_at, self._was_held = location.queued_at, False
        if location.maybe_queued:
            self._missing_since = None
        else:
            self._missing_since = self._missing_since or now
            if now - self._missing_since > (LOST_SEEN_S if self.was_held else LOST_UNSEEN_S):
                raise TaskLost
