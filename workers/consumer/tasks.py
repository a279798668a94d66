"""The Celery tasks: names under which Flower shows them, and Celery accepts their messages."""

from celery import Celery

from shared.errors import VisionError
from shared.messages import celery_task_names


def register_tasks(app: Celery) -> None:
    """Register one Celery task per vision task, so that Flower tells them apart."""
    for name in celery_task_names():
        app.task(name=name, throws=(VisionError,), ignore_result=True)(_run)


def _run(*_: object, **__: object) -> None:
    msg = "Tasks are run by workers.consumer.delivery.JobPool: configure it as worker_pool."
    raise NotImplementedError(msg)
