"""Publishes a job on its model's queue, waits for the result, and deletes what is left in Redis.

The API has the request, its images and its deadline, so the API repeats a job whose worker died,
and nothing in Redis needs to survive a restart. Each second it checks whether the task is lost
(:mod:`api.lost_tasks`). A lost task is published again under a new id; the old id is cancelled, as
its worker may only be suspended.
"""

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import structlog

from api.http.client_connection import Client, ClientGone, nobody_waits
from api.lost_tasks import TaskLost, TaskWatch
from api.redis_retry import CLEANUP_S, RETRY_PAUSE_S, clean_up, redis_call, retry_while_unreachable
from shared.errors import BrokerUnavailable, DeadlineExceeded, ModelFailed
from shared.messages import Job, JobTimes, JsonObject, Outcome, celery_task_name, is_end, read_end
from shared.model_spec import ModelSpec
from shared.redis.connection import SPARE_TTL_S
from shared.redis.deadline import redis_within
from shared.redis.faults import is_refusal
from shared.redis.inputs import store_inputs
from shared.redis.leases import ENQUEUED_AT
from shared.redis.presence import Presence
from shared.redis.publishing import Publisher, Task
from shared.redis.store import Store

log = structlog.get_logger(__name__)

POLL_S = 1.0
"""How often the task is checked during the wait."""
MAX_RESENDS = 2
"""How many times a job is published again after the death of a worker."""


class _Published(NamedTuple):
    """A Celery task that was published for a job."""

    id: str
    watch: TaskWatch


class PublishedJob:
    """A job on its model's queue, and its result."""

    def __init__(
        self,
        publisher: Publisher,
        store: Store,
        spec: ModelSpec,
        job: Job,
        images: Sequence[bytes],
        presence: Callable[[ModelSpec], Presence],
    ) -> None:
        """Prepare.

        Args:
            publisher: puts tasks on queues.
            store: Redis.
            spec: the model that is to answer.
            job: the job, without its images.
            images: the encoded images.
            presence: returns which workers serve a model.
        """
        self._publisher, self._store = publisher, store
        self._spec, self._presence = spec, presence
        self._job, self._images, self._deadline = job, images, job.deadline
        self.size = sum(map(len, images))  # in Redis; who knows its message's size adds it
        self.on_lost: Callable[[], None] = lambda: None
        """Called for each lost task of this job."""
        self._resends = 0
        self._task: _Published | None = None
        self._made_at = time.monotonic()
        self._stored: dict[str, tuple[str, ...]] = {}
        """Keys of inputs that may be in Redis, by task id."""
        self._unsure: list[str] = []
        """Ids of tasks whose message Redis may have, or take later, although publishing failed."""

    def publish(self) -> None:
        """Store the images and publish the message.

        Raises:
            BrokerUnavailable: Redis does not serve, and has not for as long as one may wait.
        """
        retry_while_unreachable(self._publish, self._deadline)
        self._clear_failed()

    def _publish(self) -> None:
        # Step 3: write the images and the message; `wait` waits for the result.
        now = time.time()
        left_s = max(0.1, self._deadline - now)
        task_id = str(uuid.uuid4())
        # Keys of their own for each task: a worker deletes them with its reply, and one that was
        # taken for dead may reply late.
        text, inputs = store_inputs(task_id, self._job, self._images)
        shown = f"{{'request_id': {self._job.request_id!r}}}"
        task = Task(task_id, celery_task_name(self._job), f'{{"job": {text}}}', shown)
        self._stored[task_id] = tuple(inputs)
        self._unsure.append(task_id)
        queue = self._spec.queue_of(self._job.priority)
        try:
            self._publisher.send(task, queue, {ENQUEUED_AT: now}, inputs, int(left_s) + SPARE_TTL_S)
        except Exception as err:
            if is_refusal(err):
                self._unsure.remove(task_id)
            raise
        self._unsure.remove(task_id)
        watch = TaskWatch(task_id, self._spec, queue, self._store.leases, self._presence)
        self._task = _Published(task_id, watch)

    def wait(self, client: Client) -> Outcome:
        """Block until the result is there.

        Args:
            client: who waits for it.

        Returns:
            the outcome; in its times, all counts as waiting for which the worker did not work.

        Raises:
            ClientGone: the client has closed the connection.
            DeadlineExceeded: there was no result before the deadline.
            VisionError: the worker raised it.
        """
        for message in self._messages(client):
            if is_end(message):
                whole_s, end = time.monotonic() - self._made_at, read_end(message)
                times = JobTimes.split(whole_s, end.times.prepare, end.times.predict)
                return end._replace(times=times)
        raise AssertionError  # the end is always the last message

    def reply_parts(self, client: Client) -> Iterator[JsonObject]:
        """Yield the parts of Ollama's reply as they arrive, up to the one that is ``done``.

        Args:
            client: who waits for them.

        Raises:
            ClientGone, DeadlineExceeded, VisionError: as :meth:`wait`.
        """
        for message in self._messages(client):
            if is_end(message):
                read_end(message)
            else:
                yield message["part"]

    def _messages(self, client: Client) -> Iterator[JsonObject]:
        """Yield what the worker sends, up to the end of the job."""
        client.when_gone = self._stop_waiting
        try:
            yield from self._messages_of_tasks(client)
        finally:
            client.when_gone = nobody_waits  # a connection that stays open would keep the images

    def _messages_of_tasks(self, client: Client) -> Iterator[JsonObject]:
        started = False
        while True:
            assert self._task is not None  # noqa: S101 - published before it is waited for
            message = None if client.is_gone else self._next_message(self._task)
            # Others only wake this thread, or are of a worker that is newer than this API.
            if message and (is_end(message) or "part" in message):
                started = True
                if is_end(message):
                    # Step 9: the worker has deleted the images with it; nothing stays in Redis.
                    self._stored.pop(self._task.id)
                    self._task = None
                yield message
                if self._task is None:
                    return
                continue
            try:
                self._check_awaited(self._task, client)
            except TaskLost:
                if started:
                    raise ModelFailed("The worker died while it answered.") from None
                self._publish_again(self._task)

    def _next_message(self, task: _Published) -> JsonObject | None:
        """Wait a moment for the worker's next message; it may be empty, or there is none.

        Raises:
            DeadlineExceeded: the time is over.
        """
        left_s = self._left_s()
        if left_s <= 0:
            raise DeadlineExceeded(f"{self._spec.name} gave no result in time.")
        try:
            with redis_call(left_s):
                return self._store.replies.pop(task.id, min(POLL_S, left_s))
        except BrokerUnavailable as err:
            log.warning("waiting for Redis", error=err.message)
            time.sleep(min(RETRY_PAUSE_S, max(0.0, self._left_s())))
            return None

    def _publish_again(self, task: _Published) -> None:
        """Publish the job of a lost task again, unless its workers died too often.

        A task that no worker is known to have held was lost by Redis, or by a worker that stopped.
        The request is not to blame for that, so only its deadline limits the repetitions.
        """
        self._resends += task.watch.was_held
        log.warning("task lost", task_id=task.id, resends=self._resends)
        self.on_lost()
        self._cancel(task.id)
        if self._resends > MAX_RESENDS:
            name, deaths = self._spec.name, self._resends
            raise ModelFailed(f"{name}: {deaths} workers died while they had this request.")
        self.publish()

    def close(self) -> None:
        """Cancel the task if it has no result yet, and delete what is left in Redis."""
        task, self._task = self._task, None
        with redis_within(CLEANUP_S):
            if task is not None:
                self._cancel(task.id)
            self._clear_failed()

    def _clear_failed(self) -> None:
        """Clear up after attempts to publish that failed; those without a message leave no mark."""
        while self._unsure:
            self._cancel(self._unsure.pop())
        current = self._task and self._task.id
        for task_id in [one for one in self._stored if one != current]:
            self._delete(task_id)

    def _cancel(self, task_id: str) -> None:
        """Have no worker run the task, and delete what it left in Redis."""
        clean_up(partial(self._store.cancellations.add, task_id, self._left_s()))
        self._delete(task_id)

    def _delete(self, task_id: str) -> None:
        inputs = self._stored.pop(task_id, ())
        clean_up(partial(self._store.delete_request, inputs, task_id))

    def _left_s(self) -> float:
        return self._deadline - time.time()

    def _stop_waiting(self) -> None:
        """Have :meth:`_next_message` return; called in another thread."""
        if task := self._task:
            clean_up(partial(self._store.replies.wake, task.id))
            if self._task is not task:  # nobody waits for it any more, and its reply is deleted
                clean_up(partial(self._store.delete_request, (), task.id))

    def _check_awaited(self, task: _Published, client: Client) -> None:
        if client.is_gone:
            raise ClientGone
        with redis_within(self._left_s()):
            task.watch.check()
