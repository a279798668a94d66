"""One vision request from images to results: check, publish, wait, clean up."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial

from celery import Celery

from api.dispatch import PublishedJob
from api.limits.admission import check_queue, check_served
from api.metrics import Metrics
from api.redis_retry import retry_while_unreachable
from shared.catalog import Assignment, Catalog
from shared.errors import ModelUnavailable
from shared.families import FAMILIES, OLLAMA
from shared.messages import Job, Result, command_name
from shared.model_spec import ModelSpec
from shared.redis.images import new_image_keys
from shared.redis.presence import Presence
from shared.redis.store import Store
from shared.settings import Settings
from shared.tasks.registry import task_names
from shared.vocabulary import OperatorCommand

COMMAND_TIMEOUT_S = 3.0


class VisionService:
    """Runs requests; one per API process, shared by its threads."""

    def __init__(
        self, settings: Settings, catalog: Catalog, app: Celery, store: Store, metrics: Metrics
    ) -> None:
        self.settings, self.catalog, self.store, self.metrics = settings, catalog, store, metrics
        self._app = app
        self._seen_at: dict[str, float] = {}

    def check(self, plan: Sequence[Assignment]) -> None:
        """Refuse a plan that cannot be carried out now, before anything is stored.

        Raises:
            ModelUnavailable, Overloaded, BrokerUnavailable: as :mod:`api.dispatch` has them.
        """
        for spec, _ in plan:
            presence = retry_while_unreachable(partial(self.presence, spec))
            check_served(spec, presence)
            check_queue(spec, presence)

    def deadline(self, plan: Sequence[Assignment]) -> float:
        """Return when a request that begins now must be answered, in seconds since the epoch."""
        limits = [spec.limits.timeout_s for spec, _ in plan]
        return time.time() + min(limit or self.settings.timeout for limit in limits)

    def presence(self, spec: ModelSpec) -> Presence:
        """Return who serves the model now.

        Remembers on behalf of Redis, which forgets everything in a restart, that somebody did.
        """
        presence = self.store.presence.of(spec)
        now = time.monotonic()
        if presence.workers:
            self._seen_at[spec.queue_owner] = now
        grace_s = self.settings.restart_grace_s
        seen = presence.seen or now - self._seen_at.get(spec.queue_owner, -grace_s) < grace_s
        return presence._replace(seen=seen)

    def command(self, spec: ModelSpec, command: OperatorCommand) -> tuple[str, ...]:
        """Give a command to all workers of a model; returns the names of those that took it.

        Raises:
            ModelUnavailable: there is none.
        """
        workers = retry_while_unreachable(partial(self.presence, spec)).workers
        if not workers:
            raise ModelUnavailable(f"No worker serves {spec.name}.")
        replies = retry_while_unreachable(
            partial(
                self._app.control.broadcast,
                command_name(command),
                destination=[worker.worker for worker in workers],
                reply=True,
                timeout=COMMAND_TIMEOUT_S,
                limit=len(workers),
            )
        )
        return tuple(sorted(name for reply in replies or () for name in reply))

    def run(
        self,
        asked: Job,
        plan: Sequence[Assignment],
        images: Sequence[bytes],
        gone: Callable[[], bool],
    ) -> Result:
        """Have each model of the plan do its tasks on the images, all at once, and merge.

        Args:
            asked: what all the jobs have in common: request id, prompt, options, deadline.
            plan: tasks by model, as :meth:`Catalog.plan` gives them.
            images: encoded images; a caption is made of the first, labels of all together.
            gone: says whether the client hung up.

        Raises:
            VisionError: any of the tree.
            ClientGone: nobody waits any more.
        """
        answers: dict[str, object] = {}
        with ExitStack() as cleanup:
            pending = []
            for part in plan:
                waiting = self.pending(asked, part, images)
                cleanup.callback(waiting.close)
                waiting.publish()
                pending.append(waiting)
            for waiting in pending:
                answers |= waiting.wait(gone).result.root
        return Result({task: answers[task] for task in task_names() if task in answers})

    def pending(self, asked: Job, part: Assignment, images: Sequence[bytes]) -> PublishedJob:
        """Return one model's part of a request, to be published, waited for and closed."""
        spec, tasks = part
        ollama = asked.ollama.model_copy(update={"model": spec.source}) if asked.ollama else None
        to_ollama = spec.family == OLLAMA
        mine: dict[str, object] = {
            "tasks": tasks,
            "images": new_image_keys(len(images)),
            # What only Ollama understands may be as large as a body: keep it off our own queues.
            "options": asked.options if to_ollama else asked.options.known,
            "ollama": ollama if to_ollama else None,
        }
        if not FAMILIES[spec.family].chats:
            mine |= {"system": "", "output_schema": None}
        job = asked.model_copy(update=mine)
        pending = PublishedJob(self._app, self.store, spec, job, images, self.presence)
        pending.on_lost = partial(self.metrics.lost, spec)
        return pending
