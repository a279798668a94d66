"""From the engine to the API and Celery: each end is judged, and told as soon as it can be."""

import math
import queue
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import redis
import structlog

from shared.errors import ModelFailed, ModelUnavailable, VisionError
from shared.messages import NO_TIME, Outcome, end_message
from shared.redis.deadline import redis_within
from shared.redis.faults import describe, passes_by_itself
from shared.redis.replies import End
from shared.redis.store import Store
from workers.consumer.arrivals import several
from workers.consumer.carried import RETRY_S, Carried, OpenTasks
from workers.consumer.stopping import Stopping
from workers.engine.interface import Engine
from workers.engine.job import Dropped, Requeued

log = structlog.get_logger(__name__)

HOST = socket.gethostname()

LEAST_S = 0.5
"""What Redis may always take, also when the time of a worker that stops is over."""
GIVE_UP_S = 5.0
"""How long after a job's deadline its reply is given up."""


class Replier:
    """Tells how jobs ended; :meth:`run` in a thread of its own."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        served_elsewhere: Callable[[], bool],
        stopping: Stopping,
        open_tasks: OpenTasks,
    ) -> None:
        """Prepare.

        Args:
            store: Redis, where the replies go.
            engine: has run the jobs.
            served_elsewhere: returns whether another worker has the model ready.
            stopping: whether the worker stops.
            open_tasks: hears of the end of each.
        """
        self._store, self._engine, self._stopping = store, engine, stopping
        self._served_elsewhere, self._open_tasks = served_elsewhere, open_tasks
        self._ended: queue.SimpleQueue[Carried | None] = queue.SimpleQueue()

    def put(self, job: Carried, end: Outcome | BaseException) -> None:
        """Have it told how a job ended; returns at once."""
        job.end = end
        self._ended.put(job)

    def close(self) -> None:
        """Expect no more; :meth:`run` then returns."""
        self._ended.put(None)

    def run(self) -> None:
        """Tell what comes, until nothing will any more."""
        waiting: list[Carried] = []
        while (ended := several(self._ended, timeout_s=RETRY_S if waiting else None)) is not None:
            due = [*waiting, *ended]
            try:
                with self._in_the_time_left():
                    waiting = self._reply([*waiting, *filter(self._has_reply, ended)])
            except Exception as err:  # a bug: the API waits in vain, but no task is held for ever
                log.exception("unexpected error in replies")
                for job in due:
                    self._open_tasks.tell_once(job, partial(job.delivery.fail, err))
                waiting = []

    def _in_the_time_left(self) -> AbstractContextManager[None]:
        """Bound what Redis may take of all jobs together, once the worker stops."""
        left = self._stopping.limit(math.inf) - time.time()
        return redis_within(max(LEAST_S, left)) if left < math.inf else nullcontext()

    def _has_reply(self, job: Carried) -> bool:
        """Return whether the API is to hear how a job ended; else that is done with here."""
        match job.end:
            case Dropped():
                job.log("dropped")
                self._open_tasks.tell_once(job, job.delivery.drop)
            case Requeued():
                job.log("requeued")
                self._put_back(job, "the worker stops")
            case ModelUnavailable() if not self._engine.status.state.is_up and self._others_serve():
                # This worker's model failed while it held the request; it takes no more until it
                # is up.
                job.log("requeued")
                self._put_back(job, "another worker has the model")
            case VisionError() as error:
                job.log(type(error).__name__)
                job.reply = error
                return True
            case BaseException() as error:
                log.error("unexpected error in a task", exc_info=error, task_id=job.task_id)
                job.log("failed")
                job.reply = ModelFailed("The worker failed on this request.")
                return True
            case outcome:
                job.log("done")
                times = job.engine_job.times if job.engine_job else NO_TIME
                job.reply = outcome._replace(times=times)
                return True
        return False

    def _others_serve(self) -> bool:
        try:
            return self._served_elsewhere()
        except Exception:  # a bug: the client must hear of the failure, and nobody else serves it
            log.exception("unexpected error in a task")
            return False

    def _reply(self, waiting: Sequence[Carried]) -> list[Carried]:
        """Reply to the API; return the jobs for which Redis has to be tried again."""
        # Step 8: the reply.
        ends = [(job, end_message(job.reply, HOST)) for job in waiting]
        errors = self._store.replies.push_ends(
            [End(job.task_id, message, job.job.keys) for job, message in ends]
        )
        again = []
        for (job, message), error in zip(ends, errors, strict=True):
            if error and self._is_to_retry(job, error):
                again.append(job)
            elif isinstance(job.reply, VisionError):  # of which Flower hears, too
                self._open_tasks.tell_once(job, partial(job.delivery.fail, job.reply))
            else:
                answer = message["outcome"]
                self._open_tasks.tell_once(job, partial(job.delivery.succeed, answer))
        return again

    def _is_to_retry(self, job: Carried, error: redis.RedisError) -> bool:
        """Return whether Redis may still take a reply, and somebody waits for it."""
        over = time.time() > self._stopping.limit(job.job.deadline + GIVE_UP_S)
        if over or not passes_by_itself(error):
            log.error("reply lost", task_id=job.task_id, error=describe(error))
            return False
        if not job.warned:
            log.warning("waiting for Redis", task_id=job.task_id, error=describe(error))
        job.warned = True
        return True

    def _put_back(self, job: Carried, why: str) -> None:
        """Put a message back on the queue; without Redis its lease runs out by itself."""
        try:
            self._store.leases.requeue(job.task_id)
        except redis.RedisError as err:
            log.warning("cannot record that a task is back on the queue", error=describe(err))
        self._open_tasks.tell_once(job, partial(job.delivery.put_back, why))
