"""A job on its way through the worker, and how Celery hears of its end."""

import threading
import time
from collections.abc import Callable
from typing import Protocol

import structlog

from shared.errors import VisionError
from shared.messages import Job, JsonObject, Outcome
from workers.engine.job import Dropped, EngineJob

log = structlog.get_logger(__name__)

RETRY_S = 0.2
"""How long a job waits before Redis is tried again."""


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


class Carried:
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
        """Celery's id of the task."""
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


class OpenTasks:
    """How many tasks there are of whose end Celery has not been told."""

    def __init__(self) -> None:
        self._count, self._changed = 0, threading.Condition()

    def add(self) -> None:
        """Count one more."""
        with self._changed:
            self._count += 1

    def tell_once(self, job: Carried, end: Callable[[], None]) -> None:
        """Tell of the end of a job, unless that was done before an unexpected error."""
        if not job.is_told:
            job.is_told = True
            self.tell(end)

    def tell(self, end: Callable[[], None]) -> None:
        """Tell of the end of a task, whatever comes of that: nobody else would."""
        try:
            end()
        except Exception:
            log.exception("Celery could not be told of a task's end")
        finally:
            with self._changed:
                self._count -= 1
                self._changed.notify_all()

    def wait_until_none(self) -> None:
        """Wait until all have ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._count == 0)
