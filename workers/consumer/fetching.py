"""From Celery's messages to the engine: what lies beside them in Redis is fetched on the way."""

import queue
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial

import redis
import structlog

from shared.errors import ModelUnavailable
from shared.messages import Job, Outcome
from shared.redis.deadline import redis_within
from shared.redis.faults import describe
from shared.redis.store import Store
from workers.consumer.arrivals import several
from workers.consumer.carried import RETRY_S, Carried, Delivery
from workers.consumer.stopping import Stopping
from workers.engine.interface import Engine
from workers.engine.job import Dropped, EngineJob

log = structlog.get_logger(__name__)

MOST_FETCHED = 16
"""Of how many jobs the inputs are fetched in one trip: the first waits for all of them."""

UNREADABLE = "The worker is of another version than the API, and cannot read this request."
"""What clients are told, to whom it passes when both have been upgraded."""

End = Callable[[Carried, Outcome | BaseException], None]
"""Is told how a job ended, by any thread."""


class Fetcher:
    """Gives the jobs of messages to the engine; :meth:`run` in a thread of its own."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        in_hand: set[str],
        stopping: Stopping,
        end: End,
    ) -> None:
        """Prepare.

        Args:
            store: Redis, where the inputs are.
            engine: runs the jobs.
            in_hand: is kept to the ids of the tasks that are fetched, or that the engine has.
            stopping: whether the worker stops.
            end: hears of the ends of all jobs.
        """
        self._store, self._engine, self._stopping = store, engine, stopping
        self._in_hand, self._end_of = in_hand, end
        self._arrived: queue.SimpleQueue[Delivery | None] = queue.SimpleQueue()

    def put(self, delivery: Delivery | None) -> None:
        """Take over a message; ``None``: no more will come."""
        self._arrived.put(delivery)

    def run(self) -> None:
        """Take what comes, until nothing will any more."""
        while (deliveries := several(self._arrived, MOST_FETCHED)) is not None:
            carried = [job for job in map(self._accepted, deliveries) if job]
            try:
                self._fetch(carried)
            except Exception as err:  # a bug: the clients must hear of it, too
                log.exception("unexpected error in a task")
                for job in carried:
                    if not job.is_fetched:
                        self._end(job, err)

    def _accepted(self, delivery: Delivery) -> Carried | None:
        try:
            delivery.accept()
        except Exception:
            log.exception("Celery could not be told of a task", task_id=delivery.task_id)
        try:
            return Carried(delivery, delivery.job())
        except (ValueError, KeyError, TypeError):
            log.exception("no job in a message", task_id=delivery.task_id)
            # Its images, whose keys are not known, expire.
            job = Carried(delivery, Job(request_id="", deadline=time.time()))
            self._end(job, ModelUnavailable(UNREADABLE))
            return None

    def _fetch(self, waiting: Sequence[Carried]) -> None:
        """Fetch what lies beside some messages, which takes long where the line to Redis is slow.

        While Redis is away, it is retried until the deadlines.
        """
        self._in_hand.update(job.task_id for job in waiting)
        while waiting := self._in_time(waiting):
            last = max(job.job.deadline for job in waiting)
            try:
                with redis_within(self._stopping.limit(last) - time.time()):
                    found = self._store.inputs.get([(job.task_id, job.job) for job in waiting])
            except redis.RedisError as err:
                log.warning("waiting for Redis", error=describe(err))
                time.sleep(RETRY_S)
                continue
            for job, inputs in zip(waiting, found, strict=True):
                if inputs is None:
                    self._end(job, Dropped())
                elif isinstance(inputs, ValueError):
                    log.error("a job cannot be read", task_id=job.task_id, exc_info=inputs)
                    self._end(job, ModelUnavailable(UNREADABLE))
                else:
                    self._submit(job, EngineJob(job.task_id, *inputs))
            return

    def _in_time(self, waiting: Sequence[Carried]) -> list[Carried]:
        """Drop the jobs whose deadlines have passed; return the others."""
        now = time.time()
        late = [job for job in waiting if now > self._stopping.limit(job.job.deadline)]
        for job in late:
            self._end(job, Dropped())
        return [job for job in waiting if job not in late]

    def _submit(self, job: Carried, engine_job: EngineJob) -> None:
        job.engine_job = engine_job
        with structlog.contextvars.bound_contextvars(
            request_id=job.job.request_id, task_id=job.task_id
        ):
            # Step 4 of a request's way: submit.
            future = self._engine.submit(engine_job)
        job.is_fetched = True
        future.add_done_callback(partial(self._answered, job))

    def _answered(self, job: Carried, future: "Future[Outcome]") -> None:
        self._end(job, future.exception() or future.result())

    def _end(self, job: Carried, end: Outcome | BaseException) -> None:
        job.is_fetched = True
        self._in_hand.discard(job.task_id)
        self._end_of(job, end)
