"""Where Celery's tasks end: each one does, whatever Redis does when the worker replies.

Celery itself holds a task for ever when an error leaves the thread that ran it outside of the
task's body: nobody is told then that the task is over.
``tests/workers/consumer/test_results.py`` shows it.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import redis
import structlog
from billiard.einfo import ExceptionInfo
from celery.concurrency.thread import TaskPool

from shared.messages import Job, JsonObject
from shared.redis.faults import describe, passes_by_itself
from shared.redis.store import Store
from workers.consumer.stopping import Stopping
from workers.engine.climbing import MOST

log = structlog.get_logger(__name__)

RETRY_PAUSE_S = 0.2
GIVE_UP_S = 5.0
"""How long after a job's deadline its reply is given up."""
MOST_TASKS = 2 * MOST
"""Tasks of the largest batch that finds its size by itself, and of the next one."""


def push_end(store: Store, task_id: str, job: Job, message: JsonObject, stopping: Stopping) -> None:
    """Reply to the API as soon as Redis takes it; give up when nobody waits for it any more.

    Args:
        store: Redis.
        task_id: of the job's task.
        job: the job; its inputs are deleted with the reply.
        message: how the job ended.
        stopping: whether the worker stops, and so cannot wait for long.
    """
    until, warned = job.deadline + GIVE_UP_S, False
    while True:
        try:
            store.replies.push_end(task_id, message, job.keys)
        except redis.RedisError as err:
            if not passes_by_itself(err) or time.time() > stopping.limit(until):
                log.error("reply lost", task_id=task_id, error=describe(err))  # noqa: TRY400 - one line
                return
            if not warned:
                log.warning("waiting for Redis", task_id=task_id, error=describe(err))
            warned = True
            time.sleep(RETRY_PAUSE_S)
        else:
            return


class EndingPool(TaskPool):
    """Threads that report the end of each task to Celery, even of one that raised unexpectedly.

    Their number follows ``limit``, which may grow while the worker runs: a thread is only started
    when all others are busy.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - Celery's signature
        """Have room for as many threads as there will ever be."""
        super().__init__(*args, **kwargs)
        self.executor = ThreadPoolExecutor(max(self.limit, MOST_TASKS))

    def on_apply(self, target: Callable[..., Any], *args: Any, **more: Any) -> Any:  # noqa: ANN401
        """Run ``target`` in a thread."""
        return super().on_apply(partial(_ended, target), *args, **more)


def _ended(target: Callable[..., Any], *args: Any, **more: Any) -> Any:  # noqa: ANN401
    """Call ``target``; return its error as the failure of the task, as Celery represents it."""
    try:
        return target(*args, **more)
    except Exception:
        log.exception("task ended outside of its body")
        return 1, ExceptionInfo(internal=True), 0.0
