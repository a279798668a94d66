"""The Celery tasks, as thin as views: decode the message, submit it, encode the outcome."""

import time
from collections.abc import Callable
from typing import Any

import celery
import redis
import structlog
from celery import Celery
from celery.exceptions import Ignore, Reject

from shared.errors import ModelFailed, ModelUnavailable, VisionError
from shared.messages import Job, Outcome, celery_task_names, end_message
from shared.redis.faults import describe
from shared.redis.store import Store
from workers.consumer.results import push_end
from workers.consumer.stopping import Stopping
from workers.engine.interface import Engine
from workers.engine.job import Dropped, EngineJob, Requeued

log = structlog.get_logger(__name__)

REDIS_RETRY_S = 0.2


def register_tasks(
    app: Celery,
    store: Store,
    engine: Engine,
    served_elsewhere: Callable[[], bool],
    in_engine: set[str],
    stopping: Stopping,
) -> None:
    """Register one Celery task per vision task, so that Flower tells them apart.

    Args:
        app: the worker's application.
        store: Redis, where the images are.
        engine: runs the jobs.
        served_elsewhere: returns whether another worker has the model ready.
        in_engine: is kept to the ids of the tasks whose jobs the engine has.
        stopping: whether the worker stops.
    """

    def run(self: "celery.Task[Any, Any]", job: dict[str, Any]) -> dict[str, Any]:
        message, task_id = Job.model_validate(job), str(self.request.id)
        end = run_job(self, message, store, engine, in_engine, stopping)
        failed_here = isinstance(end, ModelUnavailable) and not engine.status.state.is_up
        if failed_here and served_elsewhere():
            # This worker's model failed while it held the request; it takes no more until it is up.
            _requeue(task_id, store)
            raise Reject("another worker has the model", requeue=True)
        push_end(store, task_id, message, end_message(end), stopping)  # Step 8: the reply.
        if isinstance(end, VisionError):
            raise end  # so that Flower shows it
        return end.to_message()

    for name in celery_task_names():
        app.task(name=name, bind=True, throws=(VisionError,), ignore_result=True)(run)


def run_job(
    task: "celery.Task[Any, Any]",
    job: Job,
    store: Store,
    engine: Engine,
    in_engine: set[str],
    stopping: Stopping,
) -> Outcome | VisionError:
    """Run one job in the engine and return its outcome, or the error for the client.

    Raises:
        Ignore: nobody waits for it any more; there is no reply.
        Reject: the worker stops; the message goes back on the queue.
    """
    started = time.perf_counter()
    with structlog.contextvars.bound_contextvars(
        request_id=job.request_id, task_id=task.request.id
    ):
        status, engine_job = "failed", None
        try:
            engine_job = _fetch(str(task.request.id), job, store, stopping)
            in_engine.add(engine_job.task_id)
            end: Outcome | VisionError
            # Step 4 of a request's way: submit. The times are known when there is a result.
            end = engine.submit(engine_job).result()._replace(times=engine_job.times)
            status = "done"
        except Dropped:
            status = "dropped"
            # Else Flower would show it as running for ever.
            task.send_event("task-revoked", terminated=False, signum=None, expired=True)
            raise Ignore from None
        except Requeued:
            status = "requeued"
            _requeue(str(task.request.id), store)
            raise Reject("the worker stops", requeue=True) from None
        except VisionError as err:
            status, end = type(err).__name__, err
        except Exception:  # a bug: the client must hear of it, too
            log.exception("unexpected error in a task")
            end = ModelFailed("The worker failed on this request.")
        finally:
            in_engine.discard(str(task.request.id))
            ms = round((time.perf_counter() - started) * 1000, 1)
            phases = _phases(engine_job) if engine_job and status == "done" else {}
            log.info("job", tasks=",".join(job.tasks), status=status, ms=ms, **phases)
        return end


def _phases(job: EngineJob) -> dict[str, float]:
    """Return where a job's time in the engine went, in milliseconds, as fields of the log."""
    return {f"{name}_ms": round(1000 * s, 1) for name, s in job.times._asdict().items()}


def _requeue(task_id: str, store: Store) -> None:
    """Record that the task is back on the queue; without Redis its lease runs out by itself."""
    try:
        store.leases.requeue(task_id)
    except redis.RedisError as err:
        log.warning("cannot record that a task is back on the queue", error=describe(err))


def _fetch(task_id: str, job: Job, store: Store, stopping: Stopping) -> EngineJob:
    """Fetch what lies beside the message; while Redis is away, retry until the deadline.

    Raises:
        Dropped: nobody waits for the job any more, or the worker stops.
    """
    while True:
        if time.time() > stopping.limit(job.deadline):
            raise Dropped
        try:
            inputs = store.inputs.get(task_id, job)
        except redis.RedisError as err:
            log.warning("waiting for Redis", error=describe(err))
            time.sleep(REDIS_RETRY_S)
            continue
        if inputs is None:
            raise Dropped
        return EngineJob(task_id, *inputs)
