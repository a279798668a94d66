"""Put a job on its model's queue, wait for the result, and own the retry when a worker dies.

The API holds the request, the image and the deadline, so it moves a request on; nothing in Redis
needs to survive. Each second it asks where its task is (``Store.locate``): queued, held by a worker
that still beats, or lost. A lost one is sent again under a new id, after the death of a worker at
most ``MAX_RESENDS`` times, and the old id is voided so that a worker which only stalled does not
run it too.
"""

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import celery.exceptions
import redis
import structlog
from celery import Celery
from celery.result import AsyncResult

from api.limits.admission import AWAY, RETRY_S, check_served, patiently
from shared.errors import DeadlineExceeded, ModelFailed, VisionError
from shared.messages import Job, Outcome, celery_task_name
from shared.model_spec import ModelSpec
from shared.redis.leases import ENQUEUED_AT, TaskLocation
from shared.redis.presence import Presence
from shared.redis.store import Store

log = structlog.get_logger(__name__)

SLICE_S = 1.0
MAX_RESENDS = 2
LOST_UNSEEN_S = 3.0
"""How long a task may be neither queued nor held before it counts as lost: longer than a lease."""
LOST_SEEN_S = 1.0
"""The same for a task that some worker held before: its lease has just run out."""
EXPIRY_SPARE_S = 5
"""Celery drops messages so long after their deadline; before that the engine does, in silence."""
# RuntimeError is what Celery's result consumer raises when it cannot reconnect: an application
# "must be restarted" then, it says. https://github.com/celery/celery/pull/10189
UNREADABLE = (*AWAY, redis.RedisError, celery.exceptions.BackendError, RuntimeError)


class ClientGone(Exception):
    """The client closed its connection while we waited."""


class _Lost(Exception):
    """The worker that held the task is gone."""


class PublishedJob:
    """A job whose result is awaited."""

    def __init__(
        self,
        app: Celery,
        store: Store,
        spec: ModelSpec,
        job: Job,
        images: Sequence[bytes],
        presence: Callable[[ModelSpec], Presence],
    ) -> None:
        """Prepare to publish ``job`` with its encoded images; ``presence`` says who serves."""
        self._app, self._store, self._spec, self._presence = app, store, spec, presence
        self._job, self._images, self._deadline = job, images, job.deadline
        self.on_lost: Callable[[], None] = lambda: None
        """Called for each task of this job whose worker went away."""
        self._resends = 0
        self._result: AsyncResult[Any] | None = None
        self._queued_at = 0.0
        self._missing_since: float | None = None
        self._tag = ""

    def publish(self) -> None:
        """Store the images and send the task.

        Raises:
            BrokerUnavailable: Redis does not answer, or is full.
        """
        patiently(self._publish)

    def _publish(self) -> None:
        self._missing_since, self._tag = None, ""
        now = time.time()
        left = max(0.1, self._deadline - now)
        self._store.images.put(self._job.images, self._images, left)
        self._result = self._app.send_task(
            celery_task_name(self._job),
            kwargs={"job": self._job.model_dump(mode="json", exclude_defaults=True)},
            task_id=str(uuid.uuid4()),
            queue=self._spec.queue,
            expires=left + EXPIRY_SPARE_S,
            headers={ENQUEUED_AT: now},
        )
        # Taken after the message is queued: whoever is stamped later is queued behind us, so an
        # oldest message that is stamped later shows that ours has left the queue.
        self._queued_at = time.time()

    def wait(self, gone: Callable[[], bool]) -> Outcome:
        """Block until the result is there.

        Raises:
            ClientGone: ``gone()`` said so.
            DeadlineExceeded: the time is over.
            VisionError: what the worker raised.
        """
        while True:
            assert self._result is not None  # noqa: S101 - published before it is waited for
            try:
                return self._wait_once(self._result, gone)
            except _Lost:
                self._send_again(self._result)

    def parts(self, gone: Callable[[], bool]) -> Iterator[dict[str, Any]]:
        """Yield the parts of a reply of Ollama as they come, up to the one that is ``done``.

        Raises:
            ClientGone, DeadlineExceeded, VisionError: as :meth:`wait`.
        """
        begun = False
        while True:
            assert self._result is not None  # noqa: S101 - published before it is waited for
            part = self._next_part(self._result)
            if part is not None:
                begun = True
                yield part
                if part.get("done"):
                    self.wait(gone)  # the result follows at once; reading it tidies up
                    return
                continue
            try:
                self._look(self._result, gone)
            except _Lost:
                if begun:
                    raise ModelFailed("The worker died while it answered.") from None
                self._send_again(self._result)

    def _next_part(self, result: "AsyncResult[Any]") -> dict[str, Any] | None:
        try:
            return self._store.parts.pop(result.id, SLICE_S)
        except UNREADABLE as err:
            log.warning("waiting for Redis", error=str(err))
            time.sleep(RETRY_S)
            return None

    def _look(self, result: "AsyncResult[Any]", gone: Callable[[], bool]) -> None:
        """After a silence: raise what there is to raise."""
        if time.time() >= self._deadline:
            raise DeadlineExceeded(f"{self._spec.name} gave no result in time.")
        if gone():
            raise ClientGone
        try:
            failed = result.ready() and not result.successful()
        except UNREADABLE:
            return
        if failed:
            self.wait(gone)
        self._check_alive(result.id)

    def _send_again(self, result: "AsyncResult[Any]") -> None:
        """Publish anew what a dead worker had, unless that happened too often.

        A task that nobody is known to have held was lost by Redis, or by a worker that stopped:
        that says nothing against the request, and is bounded by its deadline.
        """
        self._resends += bool(self._tag)
        log.warning("task lost", task_id=result.id, resends=self._resends)
        self.on_lost()
        self._abandon(result)
        if self._resends > MAX_RESENDS:
            raise ModelFailed(
                f"{self._spec.name}: {self._resends} workers died while they had this request."
            )
        self.publish()

    def close(self) -> None:
        """See that no worker spends time on a task without answer, and that nothing is left."""
        if self._result is not None:
            left_s = self._deadline - time.time()
            _tidy(partial(self._store.cancellations.add, self._result.id, left_s))
            _tidy(self._result.forget)
        _tidy(partial(self._store.images.delete, self._job.images))

    def _wait_once(self, result: "AsyncResult[Any]", gone: Callable[[], bool]) -> Outcome:
        while True:
            left = self._deadline - time.time()
            if left <= 0:
                raise DeadlineExceeded(f"{self._spec.name} gave no result in time.")
            try:
                value = result.get(timeout=min(SLICE_S, left), propagate=False)
            except celery.exceptions.TimeoutError:
                pass
            except UNREADABLE as err:
                log.warning("waiting for Redis", error=str(err))
                time.sleep(min(RETRY_S, max(0.0, left)))
            else:
                self._result = None  # answered: nothing to void
                _tidy(result.forget)
                return self._read(value)
            if gone():
                raise ClientGone
            self._check_alive(result.id)

    def _read(self, value: Any) -> Outcome:  # noqa: ANN401 - what Celery took off the backend
        if isinstance(value, VisionError):
            raise value
        if isinstance(value, celery.exceptions.TaskRevokedError):
            raise DeadlineExceeded(f"{self._spec.name} took the request too late.")
        if isinstance(value, BaseException):
            log.error("worker raised", error=repr(value))
            raise ModelFailed(f"{self._spec.name} failed on this request.")
        return Outcome.from_message(value)

    def _check_alive(self, task_id: str) -> None:
        """Raise when the task is lost, or when nobody is left who could ever take it."""
        now = time.time()
        if now - self._queued_at < SLICE_S:
            return
        try:
            location = self._store.leases.locate(task_id, self._spec.queue, self._queued_at)
            if not location.held:
                check_served(self._spec, self._presence(self._spec))
        except redis.RedisError:
            self._missing_since = None
        else:
            self._judge(location, now)

    def _judge(self, location: TaskLocation, now: float) -> None:
        """Raise when a location leads nowhere, once it has for a moment."""
        if location.held:
            self._tag, self._missing_since = location.delivery_tag, None
            if not location.holder_alive:
                raise _Lost
            return
        if location.queued_at != self._queued_at:  # a worker has requeued it
            self._queued_at, self._tag = location.queued_at, ""
        if location.maybe_queued:
            self._missing_since = None
        else:
            self._missing_since = self._missing_since or now
            if now - self._missing_since > (LOST_SEEN_S if self._tag else LOST_UNSEEN_S):
                raise _Lost

    def _abandon(self, result: "AsyncResult[Any]") -> None:
        _tidy(partial(self._store.cancellations.add, result.id, self._deadline - time.time()))
        _tidy(partial(self._store.leases.forget, result.id, self._tag))
        _tidy(result.forget)


def _tidy(call: Callable[[], object]) -> None:
    """Clean up; what cannot be cleaned now expires by itself."""
    try:
        call()
    except UNREADABLE as err:
        log.warning("could not clean up", error=str(err))
