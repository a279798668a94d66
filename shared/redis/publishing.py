"""Messages on queues, and what a worker needs beside them, written in one trip to Redis.

Celery makes the message, and a worker's Celery takes it as any other. On the way through kombu's
producers and channels it would take three times the CPU time.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import redis
import structlog
from celery import Celery, signals
from kombu.exceptions import OperationalError

from shared.redis.faults import describe
from shared.redis.trips import in_one_trip

log = structlog.get_logger(__name__)

_TO_NO_OTHER = '{"callbacks": null, "errbacks": null, "chain": null, "chord": null}'
"""What Celery's protocol has for what follows a task, in JSON."""


class Task(NamedTuple):
    """What is published."""

    id: str
    name: str
    kwargs_json: str
    """The arguments, as a JSON object."""
    kwargs_shown: str
    """What Flower shows of them. Celery would format all of a job for it."""


class Publisher:
    """Puts tasks on queues; any thread may use it."""

    def __init__(self, app: Celery, client: "redis.Redis") -> None:
        self._app: Any = app  # its types lack the parts of a message
        self._redis = client
        self.is_watched = False
        """Whether anybody, such as Flower, receives Celery's events."""

    def send(
        self,
        task: Task,
        queue: str,
        headers: Mapping[str, object],
        inputs: Mapping[str, bytes],
        ttl_s: int,
    ) -> None:
        """Put a task on a queue, and its inputs beside it.

        Args:
            task: what is to be done.
            queue: the queue, which is a list.
            headers: headers of the message besides Celery's own.
            inputs: values by key.
            ttl_s: how long these are kept.

        Raises:
            redis.RedisError: Redis does not serve, or refuses.
        """
        made = self._app.amqp.as_task_v2(
            task.id,
            task.name,
            argsrepr="()",
            kwargsrepr=task.kwargs_shown,
            ignore_result=True,  # the worker replies itself
            create_sent_event=self.is_watched,
        )
        made.headers.update(headers)
        # Who listens may add headers, as OpenTelemetry does.
        route = {"exchange": "", "routing_key": queue}
        told = {"sender": task.name, "body": made.body, "headers": made.headers, **route}
        signals.before_task_publish.send(
            **told, declare=(), properties=made.properties, retry_policy={}
        )
        message = {
            "body": f"[[], {task.kwargs_json}, {_TO_NO_OTHER}]",
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": made.headers,
            "properties": {
                **made.properties,
                "delivery_info": route,
                "delivery_tag": task.id,
                "priority": 0,
            },
        }
        # The inputs come first: a worker can do nothing with a message whose inputs are missing.
        stored = [("SET", key, value, "EX", ttl_s) for key, value in inputs.items()]
        in_one_trip(self._redis, [*stored, ("LPUSH", queue, json.dumps(message))])
        signals.after_task_publish.send(**told)
        if made.sent_event:
            self._tell_of(made.sent_event | {"queue": queue} | route)

    def _tell_of(self, event: dict[str, Any]) -> None:
        try:
            with self._app.events.default_dispatcher() as dispatcher:
                dispatcher.send("task-sent", **event)
        except (OperationalError, redis.RedisError, OSError) as err:  # the task is on its way
            log.warning("cannot tell who watches of a task", error=describe(err))
