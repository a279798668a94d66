"""Where Celery's tasks end: each one does, whatever Redis does while its result is stored.

Celery itself holds a task for ever when storing its result fails and storing that failure fails
too ("Exception raised outside body"): the error then leaves the thread that ran the task before
anybody is told that the task is over. ``tests/workers/consumer/test_results.py`` shows it.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import Any

import redis
import structlog
from billiard.einfo import ExceptionInfo
from celery import Celery
from celery.backends.redis import RedisBackend
from celery.concurrency.thread import TaskPool

from shared.celery_app import MAX_DEADLINE_S
from shared.redis.faults import describe, passes_by_itself
from workers.engine.climbing import MOST

log = structlog.get_logger(__name__)

RETRY_PAUSE_S = 0.2
MOST_TASKS = 2 * MOST
"""Tasks of the largest batch that finds its size by itself, and of the next one."""


def have_tasks_end(app: Celery) -> None:
    """Have the application of a worker use the two classes below."""
    backend = f"{__name__}:{PatientBackend.__name__}"
    app.loader.override_backends = {"redis": backend, "rediss": backend}
    app.conf.worker_pool = f"{__name__}:{EndingPool.__name__}"


class PatientBackend(RedisBackend):
    """Stores a result as soon as Redis takes it; gives up when nobody waits for it any more."""

    def store_result(
        self,
        task_id: str,
        result: Any,  # noqa: ANN401 - Celery's signature, here and below
        state: str,
        traceback: Any = None,  # noqa: ANN401
        request: Any = None,  # noqa: ANN401
        **more: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Store a result; on giving up, return as if it were stored, so that the task ends."""
        until, warned = _expiry_of(request), False
        store = partial(super().store_result, task_id, result, state, traceback, request, **more)
        while True:
            try:
                return store()
            except (redis.RedisError, OSError) as err:
                if not passes_by_itself(err) or time.time() > until:
                    log.error("result lost", task_id=task_id, error=describe(err))  # noqa: TRY400 - one line
                    return result
                if not warned:
                    log.warning("waiting for Redis", task_id=task_id, error=describe(err))
                warned = True
                time.sleep(RETRY_PAUSE_S)


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


def _expiry_of(request: Any) -> float:  # noqa: ANN401
    """Return when a task's message expires, in seconds since the epoch."""
    try:
        return datetime.fromisoformat(request.expires).timestamp()
    except (AttributeError, TypeError, ValueError):  # not published by our API
        return time.time() + MAX_DEADLINE_S
