"""Takes bulk work off its own queue, beside the requests of persons.

Each queue has a channel of its own, with its own limit of messages that the worker holds. With one
limit for both, as priorities of one queue would have it, a person's message would lie in Redis
while the worker holds as much bulk work as it may, and would miss the next batch.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from celery import bootsteps
from celery.worker.consumer.tasks import Tasks
from kombu import Consumer, Queue
from kombu.common import ignore_errors
from kombu.transport.virtual import QoS

from shared.messages import SEVERAL_TASKS
from workers.consumer.refusal import CandidConsumer


class BulkLane(bootsteps.StartStopStep):
    """Part of Celery's consumer, which begins and ends with its connection."""

    requires = (Tasks,)
    persons: ClassVar[str]
    """The queue of persons: bulk work is taken while messages are taken off that one."""
    queue: ClassVar[str]
    most: ClassVar[Callable[[], int]]
    """Returns how many messages the worker holds at most; it may change."""

    def __init__(self, consumer: Any, **options: Any) -> None:  # noqa: ANN401 - Celery's signature
        super().__init__(consumer, **options)
        consumer.bulk_lane = self
        self._consumer: Consumer | None = None

    def start(self, consumer: Any) -> None:  # noqa: ANN401 - Celery is not typed, here and below
        """Connect."""
        channel = consumer.connection.channel()
        channel.QoS = partial(_Limit, most=type(self).most)
        self._consumer = Consumer(
            channel,
            [Queue(self.queue)],
            on_message=consumer.create_task_handler(),
            on_decode_error=consumer.on_decode_error,
            accept=consumer.app.conf.accept_content,
        )
        if self.persons in consumer.app.amqp.queues.consume_from:  # connected anew
            self.consume()

    def consume(self) -> None:
        """Take messages; harmless when done twice."""
        if self._consumer:
            self._consumer.consume()

    def cancel(self) -> None:
        """Take no more messages."""
        if self._consumer:
            self._consumer.cancel()

    def stop(self, consumer: Any) -> None:  # noqa: ANN401
        """Take no more messages; those that are held can still be put back."""
        if self._consumer:
            ignore_errors(consumer, self._consumer.cancel)

    def shutdown(self, consumer: Any) -> None:  # noqa: ANN401
        """Disconnect."""
        if self._consumer:
            self.stop(consumer)
            ignore_errors(consumer, self._consumer.close)
            self._consumer = None


class TwoLaneConsumer(CandidConsumer):
    """Celery's consumer, whose remote control starts and stops both lanes."""

    bulk_lane: BulkLane

    def add_task_queue(self, queue: Any, *args: Any, **options: Any) -> Any:  # noqa: ANN401
        """Take messages off the queue of persons, and off that of bulk work."""
        added = super().add_task_queue(queue, *args, **options)
        self.bulk_lane.consume()
        return added

    def cancel_task_queue(self, queue: Any) -> None:  # noqa: ANN401
        """Take no more messages."""
        super().cancel_task_queue(queue)
        self.bulk_lane.cancel()

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:  # noqa: ANN401
        """Take a task whose name is not known, as of a later API, for one of ours.

        The name is for people; the job says what is to be done. Celery would throw the message away
        and log it with its prompt, and the API would send it again until its deadline.
        """
        del body, exc
        message.headers["task"] = SEVERAL_TASKS
        self.create_task_handler()(message)


class _Limit(QoS):
    """How many messages of a channel are held, at most as many as the engine wants now."""

    def __init__(self, channel: Any, *, most: Callable[[], int]) -> None:  # noqa: ANN401
        super().__init__(channel)
        self._most = most

    @property
    def prefetch_count(self) -> int:
        """Messages that are held at most."""
        return self._most()

    @prefetch_count.setter
    def prefetch_count(self, _: int) -> None:
        """Ignore what kombu sets: only the engine knows."""
