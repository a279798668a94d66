"""Carries jobs from Celery's messages to the engine, and their ends to the API.

One thread fetches the inputs of all messages that have come meanwhile in one trip to Redis, and
another one replies for all jobs that have ended meanwhile in one. Celery's own pools have a thread
for each task. Those of a whole batch would wake at the same moment and contend for Python's lock.
"""

import math
import queue
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Protocol, TypeVar

import redis
import structlog

from shared.errors import ModelFailed, ModelUnavailable, VisionError
from shared.messages import NO_TIME, Job, JsonObject, Outcome, end_message
from shared.redis.deadline import redis_within
from shared.redis.faults import describe, passes_by_itself
from shared.redis.replies import End
from shared.redis.store import Store
from workers.consumer.stopping import Stopping
from workers.engine.interface import Engine
from workers.engine.job import Dropped, EngineJob, Requeued

log = structlog.get_logger(__name__)

HOST = socket.gethostname()

T = TypeVar("T")

RETRY_S = 0.2
"""How long to wait before Redis is tried again."""
LEAST_S = 0.5
"""What Redis may always take, also when the time of a worker that stops is over."""
GIVE_UP_S = 5.0
"""How long after a job's deadline its reply is given up."""
MOST_FETCHED = 16
"""Of how many jobs the inputs are fetched in one trip: the first waits for all of them."""


class Delivery(Protocol):
    """A message with a job, and whoever is told of its end."""

    task_id: str

    def job(self) -> Job:
        """Return the job; raises ``ValueError`` if there is none."""

    def accept(self) -> None:
        """Tell that it has begun."""

    def succeed(self, answer: JsonObject) -> None:
        """Tell that it is answered."""

    def fail(self, error: Exception) -> None:
        """Tell that it failed."""

    def drop(self) -> None:
        """Tell that nobody waits for it."""

    def put_back(self, why: str) -> None:
        """Have it put back on the queue."""


class _Carried:
    """A job on its way."""

    def __init__(self, delivery: Delivery, job: Job) -> None:
        self.delivery, self.job = delivery, job
        self.began = time.perf_counter()
        self.is_fetched = False
        self.engine_job: EngineJob | None = None
        self.end: Outcome | BaseException = Dropped()
        self.reply: Outcome | VisionError = Outcome()
        self.warned = self.is_told = False

    @property
    def task_id(self) -> str:
        return self.delivery.task_id

    def log(self, status: str) -> None:
        """Log how it ended, and where its time went."""
        times = self.engine_job.times._asdict() if self.engine_job and status == "done" else {}
        log.info(
            "job",
            request_id=self.job.request_id,
            task_id=self.task_id,
            tasks=",".join(self.job.tasks),
            priority=self.job.priority,
            status=status,
            ms=round(1000 * (time.perf_counter() - self.began), 1),
            **{f"{name}_ms": round(1000 * seconds, 1) for name, seconds in times.items()},
        )


class Carrier:
    """Two threads; :meth:`take` and the engine give them work."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        served_elsewhere: Callable[[], bool],
        in_engine: set[str],
        stopping: Stopping,
    ) -> None:
        """Prepare.

        Args:
            store: Redis, where the inputs are, and the replies go.
            engine: runs the jobs.
            served_elsewhere: returns whether another worker has the model ready.
            in_engine: is kept to the ids of the tasks whose jobs the engine has.
            stopping: whether the worker stops.
        """
        self._store, self._engine, self._stopping = store, engine, stopping
        self._served_elsewhere, self._in_engine = served_elsewhere, in_engine
        self._arrived: queue.SimpleQueue[Delivery | None] = queue.SimpleQueue()
        self._ended: queue.SimpleQueue[_Carried | None] = queue.SimpleQueue()
        self._open, self._all_ended = 0, threading.Condition()
        self._threads = [
            threading.Thread(target=self._fetch_all, name="fetch", daemon=True),
            threading.Thread(target=self._reply_all, name="reply", daemon=True),
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def take(self, delivery: Delivery) -> None:
        """Take over a message; returns at once."""
        with self._all_ended:
            self._open += 1
        self._arrived.put(delivery)

    def close(self) -> None:
        """Wait until all jobs have ended, then end the threads."""
        with self._all_ended:
            self._all_ended.wait_for(lambda: self._open == 0)
        self._arrived.put(None)
        self._ended.put(None)
        for thread in self._threads:
            thread.join()

    def _fetch_all(self) -> None:
        while (deliveries := _several(self._arrived, MOST_FETCHED)) is not None:
            carried = [job for job in map(self._accepted, deliveries) if job]
            try:
                self._fetch(carried)
            except Exception as err:  # a bug: the clients must hear of it, too
                log.exception("unexpected error in a task")
                for job in carried:
                    if not job.is_fetched:
                        self._end(job, err)

    def _accepted(self, delivery: Delivery) -> _Carried | None:
        try:
            delivery.accept()
        except Exception:
            log.exception("Celery could not be told of a task", task_id=delivery.task_id)
        try:
            return _Carried(delivery, delivery.job())
        except (ValueError, KeyError, TypeError) as err:
            log.exception("no job in a message", task_id=delivery.task_id)
            self._tell(partial(delivery.fail, err))
            return None

    def _fetch(self, waiting: Sequence[_Carried]) -> None:
        """Fetch what lies beside some messages; while Redis is away, retry until the deadlines."""
        while waiting := self._in_time(waiting):
            try:
                found = self._store.inputs.get([(job.task_id, job.job) for job in waiting])
            except redis.RedisError as err:
                log.warning("waiting for Redis", error=describe(err))
                time.sleep(RETRY_S)
                continue
            for job, inputs in zip(waiting, found, strict=True):
                if inputs is None:
                    self._end(job, Dropped())
                else:
                    self._submit(job, EngineJob(job.task_id, *inputs))
            return

    def _in_time(self, waiting: Sequence[_Carried]) -> list[_Carried]:
        """Drop the jobs whose deadlines have passed; return the others."""
        now = time.time()
        late = [job for job in waiting if now > self._stopping.limit(job.job.deadline)]
        for job in late:
            self._end(job, Dropped())
        return [job for job in waiting if job not in late]

    def _submit(self, job: _Carried, engine_job: EngineJob) -> None:
        job.engine_job = engine_job
        self._in_engine.add(job.task_id)
        with structlog.contextvars.bound_contextvars(
            request_id=job.job.request_id, task_id=job.task_id
        ):
            # Step 4 of a request's way: submit.
            future = self._engine.submit(engine_job)
        job.is_fetched = True
        future.add_done_callback(partial(self._answered, job))

    def _answered(self, job: _Carried, future: "Future[Outcome]") -> None:
        self._in_engine.discard(job.task_id)
        self._end(job, future.exception() or future.result())

    def _end(self, job: _Carried, end: Outcome | BaseException) -> None:
        job.end, job.is_fetched = end, True
        self._ended.put(job)

    def _reply_all(self) -> None:
        waiting: list[_Carried] = []
        while (ended := _several(self._ended, timeout_s=RETRY_S if waiting else None)) is not None:
            due = [*waiting, *ended]
            try:
                with self._in_the_time_left():
                    waiting = self._reply([*waiting, *filter(self._has_reply, ended)])
            except Exception as err:  # a bug: the API waits in vain, but no task is held for ever
                log.exception("unexpected error in replies")
                for job in due:
                    self._tell_once(job, partial(job.delivery.fail, err))
                waiting = []

    def _in_the_time_left(self) -> AbstractContextManager[None]:
        """Bound what Redis may take of all jobs together, once the worker stops."""
        left = self._stopping.limit(math.inf) - time.time()
        return redis_within(max(LEAST_S, left)) if left < math.inf else nullcontext()

    def _has_reply(self, job: _Carried) -> bool:
        """Return whether the API is to hear how a job ended; else that is done with here."""
        match job.end:
            case Dropped():
                job.log("dropped")
                self._tell_once(job, job.delivery.drop)
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

    def _reply(self, waiting: Sequence[_Carried]) -> list[_Carried]:
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
            elif isinstance(job.reply, VisionError):
                self._tell_once(
                    job, partial(job.delivery.fail, job.reply)
                )  # so that Flower shows it
            else:
                self._tell_once(job, partial(job.delivery.succeed, message["outcome"]))
        return again

    def _is_to_retry(self, job: _Carried, error: redis.RedisError) -> bool:
        """Return whether Redis may still take a reply, and somebody waits for it."""
        over = time.time() > self._stopping.limit(job.job.deadline + GIVE_UP_S)
        if over or not passes_by_itself(error):
            log.error("reply lost", task_id=job.task_id, error=describe(error))
            return False
        if not job.warned:
            log.warning("waiting for Redis", task_id=job.task_id, error=describe(error))
        job.warned = True
        return True

    def _put_back(self, job: _Carried, why: str) -> None:
        """Put a message back on the queue; without Redis its lease runs out by itself."""
        try:
            self._store.leases.requeue(job.task_id)
        except redis.RedisError as err:
            log.warning("cannot record that a task is back on the queue", error=describe(err))
        self._tell_once(job, partial(job.delivery.put_back, why))

    def _tell_once(self, job: _Carried, end: Callable[[], None]) -> None:
        """Tell of the end of a job, unless that was done before an unexpected error."""
        if not job.is_told:
            job.is_told = True
            self._tell(end)

    def _tell(self, end: Callable[[], None]) -> None:
        """Tell of the end of a task, whatever comes of that: nobody else would."""
        try:
            end()
        except Exception:
            log.exception("Celery could not be told of a task's end")
        finally:
            with self._all_ended:
                self._open -= 1
                self._all_ended.notify_all()


def _several(
    arrivals: "queue.SimpleQueue[T | None]", most: int | None = None, timeout_s: float | None = None
) -> list[T] | None:
    """Wait for something, and take what else has come; ``None``: nothing will come any more.

    Args:
        arrivals: ends with ``None``.
        most: how many to take.
        timeout_s: how long to wait; then nothing is returned.
    """
    taken: list[T] = []
    try:
        first = arrivals.get(timeout=timeout_s)
        while first is not None:
            taken.append(first)
            if len(taken) == most:
                return taken
            first = arrivals.get_nowait()
    except queue.Empty:
        return taken
    if taken:
        arrivals.put(None)
    return taken or None
