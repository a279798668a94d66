"""Celery's side of a task's way: the pool that Celery gives its tasks to, and what it is told."""

import contextvars
import json
import os
import time
from typing import Any, ClassVar, NoReturn

from billiard.einfo import ExceptionInfo
from celery import Task, signals
from celery.concurrency.base import BasePool
from celery.exceptions import Ignore, Reject
from celery.utils.saferepr import saferepr
from kombu.asynchronous import get_event_loop

from shared.messages import Job, JsonObject
from shared.redis.deadline import redis_within
from workers.consumer.carrier import Carrier
from workers.consumer.stopping import FAREWELL_S


class Delivery:
    """A task that Celery has handed over. Celery holds it until it is told of its end."""

    def __init__(
        self,
        task: "Task[Any, Any]",
        request: Any,  # noqa: ANN401 - Celery is not typed
        headers: JsonObject,
        body: bytes | memoryview | str,
    ) -> None:
        """Take over.

        Args:
            task: Celery's task of that name.
            request: what Celery wants to be told of it.
            headers: of the message.
            body: of the message, JSON.
        """
        self._task, self._request, self._headers = task, request, headers
        self._text = body if isinstance(body, str) else bytes(body)
        self._began = time.monotonic()
        # A thread has many tasks, and whoever listens to Celery's signals keeps a context of each.
        self._context = contextvars.copy_context()
        self.task_id = str(request.id)

    def job(self) -> Job:
        """Return the job in the message.

        Raises:
            ValueError: there is none.
        """
        _, arguments, _ = json.loads(self._text)
        return Job.model_validate(arguments["job"])

    def accept(self) -> None:
        """Tell Celery that the task has begun."""
        self._request.on_accepted(os.getpid(), time.monotonic())
        self._signal(signals.task_prerun)

    def succeed(self, answer: JsonObject) -> None:
        """Tell Celery that the task has ended, with an answer that Flower shows."""
        self._end(0, saferepr(answer) if self._is_watched else "", state="SUCCESS")

    def fail(self, error: Exception) -> None:
        """Tell Celery that the task has failed, with an error that Flower shows."""
        self._end(1, _described(error), state="FAILURE", failure=error)

    def drop(self) -> None:
        """Tell Celery that nobody waits for the task any more."""
        # Else Flower would show it as running for ever.
        self._request.send_event("task-revoked", terminated=False, signum=None, expired=True)
        self._end(1, _described(Ignore()), state="IGNORED")

    def put_back(self, why: str) -> None:
        """Have Celery put the message back on the queue."""
        self._end(1, _described(Reject(why, requeue=True)), state="REJECTED")

    @property
    def _is_watched(self) -> bool:
        eventer = self._request._eventer  # noqa: SLF001 - Celery has no public way to it
        return bool(eventer and eventer.enabled and "task" in (eventer.groups or {"task"}))

    def _end(
        self, failed: int, told: object, *, state: str, failure: Exception | None = None
    ) -> None:
        if failure:
            self._signal(signals.task_failure, exception=failure, traceback=None, einfo=told)
        self._signal(signals.task_postrun, retval=None, state=state)
        self._request.on_success((failed, told, time.monotonic() - self._began))

    def _signal(self, signal: Any, **about: object) -> None:  # noqa: ANN401
        """Tell whoever listens to Celery's signals, as OpenTelemetry does."""
        if not signal.receivers:
            return
        task = self._task
        task.push_request(self._headers)
        try:
            self._context.run(
                signal.send,
                sender=task, task=task, task_id=self.task_id, args=(), kwargs={}, **about,
            )  # fmt: skip
        finally:
            task.pop_request()


class JobPool(BasePool):
    """Gives Celery's tasks to this process' :class:`~workers.consumer.carrier.Carrier`.

    No thread waits for a task's end. ``limit``, the number of tasks that Celery hands over at once,
    may change while the worker runs.
    """

    carrier: ClassVar[Carrier]
    body_can_be_buffer = True
    signal_safe = False

    def on_start(self) -> None:
        """Begin to carry."""
        self._hub: Any = get_event_loop()  # there is none to get once it has reconnected
        self.carrier.start()

    def on_stop(self) -> None:
        """Wait for the end of each task that was handed over, and put back what is left."""
        self.carrier.close()
        # The hub does when it is closed what is left for it, without a limit of time: messages that
        # are put back waited for a silent Redis until supervisord killed the worker.
        with redis_within(FAREWELL_S):
            for call in self._hub._pop_ready():  # noqa: SLF001 - no public method takes them
                call()

    def on_apply(self, target: object, args: Any, *_: Any, callback: Any, **more: Any) -> None:  # noqa: ANN401 - Celery's signature
        """Take a task over; ``target``, which would call the task's function, is not called."""
        del target, more
        name, _task_id, headers, body, *_unused = args
        # The callback is a method of Celery's request, which has all the others, too.
        self.carrier.take(Delivery(self.app.tasks[name], callback.__self__, headers, body))


def _described(error: Exception) -> ExceptionInfo:
    """Return an error as Celery represents it."""
    try:
        _raise(error)
    except Exception:  # noqa: BLE001 - the error that was just raised, which now has a traceback
        return ExceptionInfo(internal=True)


def _raise(error: Exception) -> NoReturn:
    raise error
