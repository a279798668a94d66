"""Where a published task is: held by a worker, on its queue, or lost."""

import time
from typing import Any, NamedTuple

import redis

from shared.redis.connection import SCAN_COUNT

STALL_S = 10
"""How long a worker may stand still and keep its tasks; its watchdog ends it after as long."""
LEASE_TTL_S = STALL_S + 2
"""Of a lease, and of the mark of its holder, which heartbeats renew each second. Their end is what
shows that a worker was killed."""
REQUEUE_S = 2.0
"""How long Celery may take to put a task back on the queue."""
REQUEUED_TTL_S = 10
"""Longer than the API's interval between two looks at the lease."""
_NOBODY = "nobody"
"""The holder of a task whose worker is dead while another one has its name."""
ENQUEUED_AT = "enq"
"""Message header: when the API published the task, in seconds since the epoch."""

# Workers of an earlier version have a heartbeat, but no mark that they are alive.
# KEYS: lease, queue. ARGV: the header. Returns the lease, whether its holder is alive, the queue's
# length and when its oldest message was published. That is the one at the end of the list. In what
# a client sent the header cannot stand, since quotes are escaped there.
_LOCATE = """
local lease = redis.call('GET', KEYS[1]) or ''
local worker = string.match(lease, '^[^|]*')
local alive = 0
if lease ~= '' then
    alive = redis.call('EXISTS', 'vision:alive:' .. worker, 'vision:worker:' .. worker)
end
local oldest = redis.call('LINDEX', KEYS[2], -1) or ''
local published_at = string.match(oldest, '"' .. ARGV[1] .. '": ?([%d.]+)') or ''
return {lease, alive, redis.call('LLEN', KEYS[2]), published_at}
"""


class TaskLocation(NamedTuple):
    """Where a published task is."""

    held: bool
    holder_alive: bool
    maybe_queued: bool
    queued_at: float
    """When it was last put on the queue, in seconds since the epoch."""


def lease_key(task_id: str) -> str:
    """Return the key of a task's lease."""
    return f"vision:lease:{task_id}"


def write_lease(client: "redis.Redis", worker: str, task_id: str) -> None:
    """Record that ``worker`` holds the task.

    Args:
        client: Redis, or a pipeline.
        worker: its unique name.
        task_id: Celery's id of the task.
    """
    client.set(lease_key(task_id), worker, ex=LEASE_TTL_S)


class Leases:
    """``vision:lease:<task id>``: its holder, or ``|time`` at which it was requeued."""

    def __init__(self, client: "redis.Redis") -> None:
        self._redis = client
        self._locate = client.register_script(_LOCATE)

    def requeue(self, task_id: str) -> None:
        """Replace the lease of a task that is put back on the queue, behind all waiting tasks."""
        back_at = time.time() + REQUEUE_S
        self._redis.set(lease_key(task_id), f"|{back_at}", ex=REQUEUED_TTL_S)

    def disown(self, worker: str) -> None:
        """Have the tasks of a dead worker count as lost, although another one has its name now."""
        keys = list(self._redis.scan_iter(lease_key("*"), count=SCAN_COUNT))
        holders: list[Any] = self._redis.mget(keys) if keys else []
        for key, holder in zip(keys, holders, strict=True):
            if holder == worker.encode():
                self._redis.set(key, _NOBODY, ex=LEASE_TTL_S, xx=True)

    def locate(self, task_id: str, queue: str, enqueued_at: float) -> TaskLocation:
        """Find a published task: held by a worker, perhaps still queued, or lost.

        ``maybe_queued`` compares the ages of the task and of the queue's oldest message: the queue
        is first in, first out, so while an older message waits, the task does too. The age of a
        requeued message counts from its return.

        Args:
            task_id: Celery's id of the task.
            queue: key of its queue.
            enqueued_at: when it was published, in seconds since the epoch.
        """
        keys = [lease_key(task_id), queue]
        lease, alive, queued, oldest = self._locate(keys=keys, args=[ENQUEUED_AT])
        holder, _, requeued_at = lease.decode().partition("|")
        if requeued_at:
            enqueued_at = float(requeued_at)
        # If our API has not published the oldest one, its age is unknown: keep waiting.
        maybe_queued = bool(queued) and (not oldest or float(oldest) <= enqueued_at)
        return TaskLocation(bool(holder), bool(alive), maybe_queued, enqueued_at)
