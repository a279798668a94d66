"""Runs a vision request: checks it, has one job per model answered, and merges the results."""

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

import redis
from celery import Celery

from api.commands import CommandSender
from api.dispatch import PublishedJob
from api.http.client_connection import Client
from api.limits.admission import check_queue, check_served, queue_room
from api.limits.memory import Room
from api.limits.shares import SHARES
from api.metrics import Metrics
from api.redis_retry import retry_while_unreachable
from shared.answer_schema import check_schema
from shared.catalog import Assignment, Catalog
from shared.errors import BadRequest, ModelUnavailable
from shared.families import FAMILIES, OLLAMA
from shared.images.several import ReadImages
from shared.messages import Job, JobTimes, Result
from shared.model_spec import ModelSpec
from shared.redis.inputs import MOST_IN_MESSAGE
from shared.redis.presence import Presence
from shared.redis.publishing import Publisher
from shared.redis.store import Store
from shared.settings import Settings
from shared.tasks.registry import task_names
from shared.vocabulary import THINK_LEVELS, OperatorCommand, Priority

REMEMBERED_S = 0.25
"""How long it is remembered that a model is served and its queue is short."""
MESSAGE_COPIES = 3
"""How much of Redis' memory a message takes, as a multiple of its JSON: its quotes are escaped, and
it is there twice while it is delivered. What is too large for it lies beside it once."""


class Answer(NamedTuple):
    """The answer to a request."""

    result: Result
    times: Mapping[str, JobTimes]
    """Where the time went, by the name of the model."""
    hosts: tuple[str, ...]
    """The machines that answered."""


class VisionService:
    """Runs requests; one per API process, shared by its threads."""

    def __init__(
        self, settings: Settings, catalog: Catalog, app: Celery, store: Store, metrics: Metrics
    ) -> None:
        self.settings, self.catalog, self.store, self.metrics = settings, catalog, store, metrics
        self._publisher, self._commands = Publisher(app, store.client), CommandSender(app)
        self._seen_at: dict[str, float] = {}
        self._fine_until: dict[tuple[str, Priority], float] = {}
        self._without_redis_at = -math.inf
        self._rooms = {each: Room(store.memory, share) for each, share in SHARES.items()}

    def check(self, plan: Sequence[Assignment], deadline: float, priority: Priority) -> None:
        """Raise an error if a plan cannot be carried out now, before anything is stored.

        Args:
            plan: models and their tasks.
            deadline: when the request must be answered, in seconds since the epoch; a Redis that
                does not serve is waited for until then, but not for long.
            priority: who waits for the answer.

        Raises:
            ModelUnavailable: no worker serves one of the models.
            Overloaded: the queue of one of them is full.
            BrokerUnavailable: Redis does not serve.
        """
        # Step 2: refuse what cannot be answered now.
        for spec, _ in plan:
            queue = (spec.queue_owner, priority)
            if time.monotonic() < self._fine_until.get(queue, -math.inf):
                continue
            presence = retry_while_unreachable(partial(self.presence, spec), deadline)
            check_served(spec, presence)
            check_queue(spec, presence, priority)
            # Until it is asked again, this process cannot fill the queue.
            room = queue_room(spec, presence, priority)
            if presence.workers and room > self.settings.request_slots:
                self._fine_until[queue] = time.monotonic() + REMEMBERED_S

    def deadline(self, plan: Sequence[Assignment], arrived: float) -> float:
        """Return when a request must be answered, in seconds since the epoch.

        Args:
            plan: models and their tasks.
            arrived: when its first byte came, likewise.
        """
        limits = [spec.limits.timeout_s for spec, _ in plan]
        return arrived + min(limit or self.settings.timeout for limit in limits)

    def presence(self, spec: ModelSpec) -> Presence:
        """Return which workers serve the model now.

        When they were last seen is remembered here too, because Redis loses it in a restart.

        Raises:
            redis.RedisError: Redis does not serve.
        """
        try:
            presence = self.store.presence.of(spec)
            if presence.workers:
                self._seen_at[spec.queue_owner] = time.monotonic()
            elif not presence.seen:
                # If it takes no writes, no heartbeat arrives: that is the cause to name.
                self.store.server.check_writable()
            self._publisher.is_watched = presence.watched
        except redis.RedisError:
            self._without_redis_at = time.monotonic()
            raise
        return presence._replace(seen=presence.seen or self._is_expected(spec.queue_owner))

    def _is_expected(self, model: str) -> bool:
        """Return whether a worker was seen lately, or before Redis served no longer until lately.

        In that case the next heartbeat may just be on its way.
        """
        seen_at = self._seen_at.get(model)
        latest = None if seen_at is None else max(seen_at, self._without_redis_at)
        return latest is not None and time.monotonic() - latest < self.settings.restart_grace_s

    def send_command(self, spec: ModelSpec, command: OperatorCommand) -> tuple[str, ...]:
        """Send a command to all workers of a model and return the names of those that confirmed it.

        Raises:
            ModelUnavailable: no worker serves the model.
            Overloaded: other commands are under way.
            BrokerUnavailable: Redis does not serve.
        """
        with self._commands.hold():
            workers = retry_while_unreachable(partial(self.presence, spec)).workers
            if not workers:
                raise ModelUnavailable(f"No worker serves {spec.name}.")
            return self._commands.send(command, [worker.worker for worker in workers])

    def run(
        self,
        template: Job,
        plan: Sequence[Assignment],
        images: ReadImages[bytes],
        client: Client,
    ) -> Answer:
        """Have each model of the plan do its tasks on the images, and merge their results.

        All jobs are published before the first result is awaited.

        Args:
            template: what the jobs have in common: request id, prompt, options, deadline.
            plan: tasks by model, as :meth:`Catalog.plan` returns them.
            images: encoded images; a caption describes the first that can be read, labels all.
            client: who waits for them.

        Raises:
            VisionError: any of the subclasses.
            ClientGone: the client has closed the connection.
        """
        answers: dict[str, object] = {}
        times: dict[str, JobTimes] = {}
        hosts: dict[str, None] = {}
        with ExitStack() as cleanup:
            jobs = []
            for assignment in plan:
                # Step 2 ends here: one job per model.
                job = self.new_job(template, assignment, images.images)
                cleanup.callback(job.close)
                jobs.append(job)
            self.publish(jobs, template.deadline, template.priority)
            for (spec, _), job in zip(plan, jobs, strict=True):
                outcome = job.wait(client)
                answers |= outcome.result.root
                times[spec.name] = outcome.times
                hosts |= {outcome.host: None}
        result = Result({task: answers[task] for task in task_names() if task in answers})
        return Answer(result.with_unreadable(images.unreadable), times, tuple(hosts))

    def new_job(
        self, template: Job, assignment: Assignment, images: Sequence[bytes]
    ) -> PublishedJob:
        """Return one model's job of a request, to be published, waited for and closed.

        Raises:
            BadRequest: a field that is passed on as it came is nested too deeply.
        """
        spec, tasks = assignment
        to_ollama = spec.family == OLLAMA
        ollama = (
            template.ollama.model_copy(update={"model": spec.source}) if template.ollama else None
        )
        changes: dict[str, object] = {
            "tasks": tasks,
            # Options that only Ollama knows may be as large as a body: not for our own queues.
            "options": template.options if to_ollama else template.options.known,
            "ollama": ollama if to_ollama else None,
        }
        if not FAMILIES[spec.family].chats:
            changes |= {"system": "", "output_schema": None, "think": None, "messages": ()}
        else:
            _check_chat(template)
        job = template.model_copy(update=changes)
        size = _json_bytes(job)
        published = PublishedJob(self._publisher, self.store, spec, job, images, self.presence)
        published.size += size + MESSAGE_COPIES * min(size, MOST_IN_MESSAGE)
        published.on_lost = partial(self.metrics.count_lost_task, spec)
        return published

    def publish(self, jobs: Sequence[PublishedJob], deadline: float, priority: Priority) -> None:
        """Store the images of all jobs of a request and publish their messages, or nothing at all.

        Raises:
            TooLarge: Redis never has so much room.
            Overloaded: Redis has no room now.
            BrokerUnavailable: Redis does not serve, and has not for as long as one may wait.
        """
        with self._rooms[priority].hold(sum(job.size for job in jobs), deadline):
            for job in jobs:
                job.publish()


def _check_chat(job: Job) -> None:
    """Raise an error if one of our own models that chats cannot be asked so.

    Raises:
        BadRequest: the JSON schema is too large, or ``think`` is none of Ollama's words.
    """
    if job.output_schema is not None:
        check_schema(job.output_schema)
    if isinstance(job.think, str) and job.think not in THINK_LEVELS:
        levels = ", ".join(f"`{level}`" for level in THINK_LEVELS)
        raise BadRequest(f"`think` is neither true nor false, nor one of {levels}.")


def _json_bytes(job: Job) -> int:
    """Return the size of a job's message.

    Raises:
        BadRequest: a field that is passed on as it came is nested too deeply for JSON.
    """
    try:
        return len(job.model_dump_json())
    except ValueError as err:  # pydantic's limit is about 250 levels
        raise BadRequest("A field of the request is nested too deeply.") from err
