"""The views of Ollama's API.

Requests for Ollama's models are passed on to Ollama; our own models answer in Ollama's form.
"""

import json
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from flask import Response, g, request

from api.dispatch import PublishedJob
from api.http import request_id
from api.http.client_connection import client_of
from api.http.json_bounds import check_text
from api.http.request_images import decode_images
from api.http.request_parsing import check_input, read_object, read_options
from api.ollama_compat import answers
from api.ollama_compat.asked import Asked, asked_in_chat, asked_to_generate, check_length
from api.ollama_compat.chat import read_chat
from api.ollama_compat.streaming import StreamedReply, ndjson, reply_lines
from api.redis_retry import retry_while_unreachable
from api.schemas import MAX_NAME, chat_fields, is_output_format
from api.service import VisionService
from shared.catalog import Assignment
from shared.errors import BadRequest, TooLarge
from shared.families import OLLAMA
from shared.images.several import ReadImages
from shared.messages import Job, JsonObject, OllamaInstructions
from shared.model_spec import ModelSpec
from shared.redis.ollama import OllamaSnapshot
from shared.redis.presence import WorkerStatus
from shared.tasks.registry import find_task
from shared.vocabulary import OllamaCall

Reply = Response | StreamedReply


class OllamaViews:
    """The views; what they open they add to ``resources``, which the caller closes."""

    def __init__(self, service: VisionService) -> None:
        self._service, self._catalog = service, service.catalog

    def answer(self, call: OllamaCall, resources: ExitStack) -> Reply:
        """Answer ``/api/generate`` or ``/api/chat``."""
        body = read_object(request)
        spec = self._catalog.find(_model_name(body), "")
        assignment = Assignment(spec, ())
        g.models, g.plan = spec.name, (assignment,)
        _check_fields(body)
        if spec.family == OLLAMA:
            return self._pass_on(call, body, assignment, resources)
        return self._answer_with_own_model(call, body, spec, resources)

    def show(self, resources: ExitStack) -> Response:
        """Answer ``/api/show``."""
        body = read_object(request)
        spec = self._catalog.find(_model_name(body), "")
        if spec.family != OLLAMA:
            return _json(answers.model_details(spec))
        instructions = OllamaInstructions(
            call=OllamaCall.SHOW, body=_without(body, "model", "name")
        )
        assignment = Assignment(spec, ())
        job = Job(ollama=instructions, **self._job_fields(assignment))
        published = self._publish(assignment, job, [], resources)
        return _json(published.wait(client_of(request.environ)).raw or {})

    def tags(self) -> Response:
        """Answer ``/api/tags``."""
        served = [spec for spec, workers in self._own_models() if workers]
        return _json(answers.model_list(served, self._snapshot()))

    def ps(self) -> Response:
        """Answer ``/api/ps``."""
        return _json(answers.loaded_models(self._own_models(), self._snapshot()))

    def version(self) -> Response:
        """Answer ``/api/version``."""
        return _json({"version": self._snapshot().version or answers.API_VERSION})

    def _pass_on(
        self, call: OllamaCall, body: JsonObject, assignment: Assignment, resources: ExitStack
    ) -> Reply:
        """Pass a request on to Ollama, and Ollama's reply back to the client as it arrives."""
        stream = body.get("stream") is not False
        messages, sources = body.pop("messages", None), body.pop("images", None)
        chat = read_chat(messages) if call == OllamaCall.CHAT else None
        fields = _without(body, "model", "stream")
        if chat is not None:
            sources, fields["messages"] = chat.images, chat.messages
        check_text(fields)
        images = self._decode(sources).all_images()
        del (
            chat,
            messages,
            sources,
        )  # their text takes more memory than all else while the client waits
        common = self._job_fields(assignment)
        self._service.check((assignment,), common["deadline"])
        instructions = OllamaInstructions(call=call, body=fields, stream=stream)
        job = Job(ollama=instructions, **common)
        published = self._publish(assignment, job, images, resources)
        client = client_of(request.environ)
        if not stream:
            return _json(published.wait(client).raw or {})
        parts = published.reply_parts(client)
        first = next(parts)  # an error before the first part still determines the status
        ids = (g.request_id, request_id.for_reply())
        return StreamedReply(reply_lines(first, parts, *ids))

    def _answer_with_own_model(
        self, call: OllamaCall, body: JsonObject, spec: ModelSpec, resources: ExitStack
    ) -> Reply:
        """Have one of our own models answer, and return its result in Ollama's form."""
        is_chat = call == OllamaCall.CHAT
        asked = asked_in_chat(body, spec) if is_chat else asked_to_generate(body)
        prompt = asked.prompt
        assignment = answers.assignment_for(spec, body.get("format"), is_asked=bool(prompt))
        check_text([prompt, asked.messages, body])
        check_length(spec, asked)
        images = self._decode(asked.images)
        if asked.messages:
            images.all_images()  # messages name them by their positions
        asked.images = ()  # their text takes more memory than all else while the client waits
        started = time.monotonic()
        needs_image = any(find_task(task).needs_image for task in assignment.tasks)
        has_input = bool(images.images) or (bool(prompt) and not needs_image)
        if prompt and not has_input:
            raise BadRequest(f"{assignment.spec.name} needs an image, and the request has none.")
        text = self._run(body, asked, images, assignment, resources) if has_input else ""
        took_s = time.monotonic() - started
        reply = answers.complete_reply(_model_name(body), text, took_s, chat=is_chat)
        if not has_input:
            reply["done_reason"] = "load"  # the purpose of an empty request
        if body.get("stream") is False:
            return _json(reply)
        return StreamedReply(ndjson(answers.split_reply(reply)))

    def _run(
        self,
        body: JsonObject,
        asked: Asked,
        images: ReadImages[bytes],
        assignment: Assignment,
        resources: ExitStack,
    ) -> str:
        """Return the result of one of our own models as text."""
        check_input(assignment.tasks, asked.prompt, images.images)
        common = self._job_fields(assignment)
        self._service.check((assignment,), common["deadline"])
        g.tasks, g.plan = ",".join(assignment.tasks), (assignment,)
        options = read_options(body.get("options"))
        chat = chat_fields(body.get("system"), body.get("format"), body.get("think"))
        job = Job(prompt=asked.prompt, messages=asked.messages, options=options, **chat, **common)
        published = self._publish(assignment, job, images.images, resources)
        outcome = published.wait(client_of(request.environ))
        result = outcome.result.with_unreadable(images.unreadable)
        return answers.result_as_text(result, structured=bool(body.get("format")))

    def _job_fields(self, assignment: Assignment) -> dict[str, Any]:
        return {
            "request_id": g.request_id,
            "deadline": self._service.deadline((assignment,), g.arrived),
        }

    def _publish(
        self, assignment: Assignment, job: Job, images: Sequence[bytes], resources: ExitStack
    ) -> PublishedJob:
        published = self._service.new_job(job, assignment, images)
        resources.callback(published.close)
        self._service.publish([published], job.deadline)
        return published

    def _decode(self, sources: object) -> ReadImages[bytes]:
        limit = self._service.settings.max_images
        if isinstance(sources, list) and len(sources) > limit:
            raise TooLarge(f"There are {len(sources)} images; the limit is {limit}.")
        return decode_images(sources, self._service.settings)

    def _own_models(self) -> list[tuple[ModelSpec, tuple[WorkerStatus, ...]]]:
        """Return our own models, each with the workers that serve it."""
        specs = [spec for spec in self._catalog.models if spec.family != OLLAMA]
        return [
            (spec, retry_while_unreachable(partial(self._service.presence, spec)).workers)
            for spec in specs
        ]

    def _snapshot(self) -> OllamaSnapshot:
        return retry_while_unreachable(self._service.store.ollama.get)


def _model_name(body: JsonObject) -> str:
    name = body.get("model") or body.get("name")
    if not isinstance(name, str):
        raise BadRequest("`model` is missing, or is not a string.")
    if len(name) > MAX_NAME:
        raise BadRequest(f"`model` has more than {MAX_NAME} characters.")
    return name


def _check_fields(body: JsonObject) -> None:
    """Raise an error if a field has a value that Ollama would refuse, whichever model is asked."""
    read_options(body.get("options"))
    if not is_output_format(body.get("format")):
        raise BadRequest("`format` is neither `json` nor a JSON schema.")
    if not isinstance(body.get("stream"), bool | None):
        raise BadRequest("`stream` is neither true nor false.")


def _without(body: JsonObject, *names: str) -> JsonObject:
    return {name: value for name, value in body.items() if name not in names}


def _json(value: JsonObject) -> Response:
    return Response(json.dumps(value), mimetype="application/json")
