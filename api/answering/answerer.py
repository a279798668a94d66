"""Has a model answer a client of Ollama or OpenAI: one of our own, or one of Ollama's."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from flask import g, request

from api.answering.asked import Asked
from api.answering.results import Written, assignment_for, result_as_text
from api.dispatch import PublishedJob
from api.http.client_connection import client_of
from api.http.priority import priority_of
from api.http.request_parsing import check_input
from api.http.worker_host import note_worker
from api.redis_retry import retry_while_unreachable
from api.service import VisionService
from shared.catalog import Assignment
from shared.errors import UnusableChat
from shared.families import OLLAMA
from shared.images.several import ReadImages
from shared.messages import Job, JsonObject, OllamaInstructions, Outcome
from shared.model_spec import ModelSpec
from shared.redis.ollama import OllamaSnapshot
from shared.redis.presence import Presence
from shared.tasks.registry import find_task
from shared.vocabulary import OllamaCall

ReadSources = Callable[[object, float], ReadImages[bytes]]
"""Returns the encoded images that a client sent, in its own form, before a deadline."""


class Answerer:
    """Answers requests; what it opens it adds to their ``resources``, which the caller closes."""

    def __init__(self, service: VisionService) -> None:
        self.service = service

    def find(self, name: str) -> ModelSpec:
        """Return the model that a request names, and note it for the log and the metrics.

        Raises:
            NotOffered: there is none.
        """
        spec = self.service.catalog.find(name, "")
        g.models, g.plan = spec.name, (Assignment(spec, ()),)
        return spec

    def answer(
        self, spec: ModelSpec, asked: Asked, read: ReadSources, resources: ExitStack
    ) -> Written | None:
        """Return the answer of one of our own models; ``None``: it is asked nothing.

        Args:
            spec: the model.
            asked: what it is asked; its images are taken out once they are read.
            read: reads them.
            resources: see the class.

        Raises:
            VisionError: any of the subclasses.
            ClientGone: the client has closed the connection.
        """
        assignment = assignment_for(spec, asked.form, is_asked=bool(asked.prompt))
        needs_image = any(find_task(task).needs_image for task in assignment.tasks)
        if asked.prompt and needs_image and not asked.images:
            raise UnusableChat(f"{spec.name} needs an image, and the request has none.")
        common = self._common(assignment)
        if asked.prompt or asked.images:  # no image is fetched for what cannot be answered now
            self.service.check((assignment,), common["deadline"], common["priority"])
        images = read(asked.images, common["deadline"])
        if asked.messages:
            images.all_images()  # messages name them by their positions
        asked.images = ()  # their text takes more memory than all else while the client waits
        if not asked.prompt and not images.images:
            return None
        check_input(assignment.tasks, asked.prompt, images.images)
        g.tasks, g.plan = ",".join(assignment.tasks), (assignment,)
        job = Job(
            prompt=asked.prompt,
            messages=asked.messages,
            options=asked.options,
            **asked.for_chat,
            **common,
        )
        published = self._publish(assignment, job, images.images, resources)
        outcome = self.wait(published)
        result = outcome.result.with_unreadable(images.unreadable)
        return result_as_text(result, structured=bool(asked.form))

    def check(self, spec: ModelSpec) -> float:
        """Return the deadline of a request to a model of Ollama, if it can be passed on now.

        Raises:
            ModelUnavailable, Overloaded, BrokerUnavailable: it cannot.
        """
        assignment = Assignment(spec, ())
        deadline = self.service.deadline((assignment,), g.arrived)
        self.service.check((assignment,), deadline, priority_of(request))
        return deadline

    def pass_on(
        self,
        spec: ModelSpec,
        call: OllamaCall,
        fields: JsonObject,
        images: Sequence[bytes],
        resources: ExitStack,
        *,
        stream: bool = False,
    ) -> PublishedJob:
        """Pass a request on to Ollama, and return it while it is under way.

        Args:
            spec: a model of Ollama.
            call: the route of Ollama's API.
            fields: the body, in which each image of a message is an index into ``images``.
            images: the encoded images.
            resources: see the class.
            stream: whether the reply comes in parts.
        """
        assignment = Assignment(spec, ())
        instructions = OllamaInstructions(call=call, body=fields, stream=stream)
        job = Job(ollama=instructions, **self._common(assignment))
        return self._publish(assignment, job, images, resources)

    def wait(self, published: PublishedJob) -> Outcome:
        """Wait until a job is done, and note the machine that did it.

        Raises:
            VisionError: any of the subclasses.
            ClientGone: the client has closed the connection.
        """
        outcome = published.wait(client_of(request.environ))
        note_worker(outcome.host)
        return outcome

    def own_models(self) -> list[tuple[ModelSpec, Presence]]:
        """Return our own models, each with its workers."""
        specs = [spec for spec in self.service.catalog.models if spec.family != OLLAMA]
        return [(spec, self.presence(spec)) for spec in specs]

    def presence(self, spec: ModelSpec) -> Presence:
        """Return which workers serve a model.

        Raises:
            BrokerUnavailable: Redis does not serve.
        """
        return retry_while_unreachable(partial(self.service.presence, spec))

    def snapshot(self) -> OllamaSnapshot:
        """Return what Ollama's servers have.

        Raises:
            BrokerUnavailable: Redis does not serve.
        """
        return retry_while_unreachable(self.service.store.ollama.get)

    def _common(self, assignment: Assignment) -> dict[str, Any]:
        deadline = self.service.deadline((assignment,), g.arrived)
        return {
            "request_id": g.request_id,
            "deadline": deadline,
            "priority": priority_of(request),
        }

    def _publish(
        self, assignment: Assignment, job: Job, images: Sequence[bytes], resources: ExitStack
    ) -> PublishedJob:
        published = self.service.new_job(job, assignment, images)
        resources.callback(published.close)
        self.service.publish([published], job.deadline, job.priority)
        return published
