"""Ollama's API in front of our models: the views."""

import json
import time
from contextlib import ExitStack
from functools import partial
from typing import Any

from flask import Response, g, request

from api.dispatch import PublishedJob
from api.http.client_connection import has_disconnected
from api.http.request_parsing import check_input, decode_images, read_object
from api.ollama_compat import answers
from api.ollama_compat.streaming import StreamedReply, lines, ndjson
from api.redis_retry import retry_while_unreachable
from api.schemas import chat_fields
from api.service import VisionService
from shared.catalog import Assignment
from shared.errors import BadRequest, TooLarge
from shared.families import OLLAMA
from shared.messages import Job, JsonObject, OllamaInstructions, Options
from shared.model_spec import ModelSpec
from shared.redis.ollama import OllamaSnapshot
from shared.redis.presence import WorkerStatus
from shared.tasks.registry import find_task
from shared.vocabulary import OllamaCall

Reply = Response | StreamedReply


class OllamaViews:
    """The views."""

    def __init__(self, service: VisionService) -> None:
        self._service, self._catalog = service, service.catalog

    def answer(self, call: OllamaCall, held: ExitStack) -> Reply:
        """Answer ``/api/generate`` or ``/api/chat``."""
        body = read_object(request)
        name = _model(body)
        spec = self._catalog.find(name, "")
        g.models, g.plan = spec.name, (Assignment(spec, ()),)
        if spec.family == OLLAMA:
            return self._of_ollama(call, body, Assignment(spec, ()), held)
        return self._of_ours(call, body, answers.assignment_for(spec, body.get("format")), held)

    def show(self, held: ExitStack) -> Response:
        """Answer ``/api/show``."""
        body = read_object(request)
        spec = self._catalog.find(_model(body), "")
        if spec.family != OLLAMA:
            return _json(answers.shown(spec))
        ask = OllamaInstructions(call=OllamaCall.SHOW, body=_without(body, "model", "name"))
        part = Assignment(spec, ())
        pending = self._publish(part, Job(ollama=ask, **self._common(part)), [], held)
        return _json(pending.wait(partial(has_disconnected, request.environ)).raw or {})

    def tags(self) -> Response:
        """Answer ``/api/tags``."""
        served = [row for row, workers in self._served() if workers]
        return _json(answers.tags(served, self._snapshot()))

    def running(self) -> Response:
        """Answer ``/api/ps``."""
        return _json(answers.running(self._served(), self._snapshot()))

    def version(self) -> Response:
        """Answer ``/api/version``."""
        return _json({"version": self._snapshot().version or answers.API_LEVEL})

    def _of_ollama(
        self, call: OllamaCall, body: JsonObject, part: Assignment, held: ExitStack
    ) -> Reply:
        """Pass a request on, and the reply back as it comes."""
        stream = body.get("stream") is not False
        fields = _without(body, "model", "stream", "images")
        if call == OllamaCall.CHAT:
            chat = answers.take_images(body.get("messages") or [])
            sources: object = chat.images
            fields["messages"] = chat.messages
        else:
            sources = body.get("images")
        images = self._images(sources)
        self._service.check((part,))
        ask = OllamaInstructions(call=call, body=fields, stream=stream)
        pending = self._publish(part, Job(ollama=ask, **self._common(part)), images, held)
        gone = partial(has_disconnected, request.environ)
        if not stream:
            return _json(pending.wait(gone).raw or {})
        parts = pending.reply_parts(gone)
        first = next(parts)  # what fails before it becomes a status
        return StreamedReply(lines(first, parts, g.request_id))

    def _of_ours(
        self, call: OllamaCall, body: JsonObject, part: Assignment, held: ExitStack
    ) -> Reply:
        """Have a model of ours look, and say it as Ollama would."""
        is_chat = call == OllamaCall.CHAT
        said = answers.take_images(body.get("messages")) if is_chat else None
        if said is not None:
            prompt = said.last.get("content")
            sources: object = [said.images[n] for n in said.last.get("images", ())]
        else:
            prompt, sources = body.get("prompt"), body.get("images")
        images = self._images(sources)
        started, name = time.monotonic(), _model(body)
        text = ""
        prompt = prompt if isinstance(prompt, str) else ""
        text_is_enough = not any(find_task(task).needs_image for task in part.tasks)
        asked = bool(images) or (bool(prompt) and text_is_enough)
        if asked:
            check_input(part.tasks, prompt, images)
            self._service.check((part,))
            g.tasks, g.plan = ",".join(part.tasks), (part,)
            options = _options(body.get("options"))
            more = chat_fields(body.get("system"), body.get("format"))
            job = Job(prompt=prompt, options=options, **more, **self._common(part))
            pending = self._publish(part, job, images, held)
            outcome = pending.wait(partial(has_disconnected, request.environ))
            text = answers.as_text(outcome.result, structured=bool(body.get("format")))
        elif prompt:
            raise BadRequest(f"{part.spec.name} answers to images, and there is none.")
        whole = answers.reply(name, text, time.monotonic() - started, chat=is_chat)
        if not asked:
            whole["done_reason"] = "load"  # what an empty request asks for
        if body.get("stream") is False:
            return _json(whole)
        return StreamedReply(ndjson(answers.parts_of(whole)))

    def _common(self, part: Assignment) -> dict[str, Any]:
        return {"request_id": g.request_id, "deadline": self._service.deadline((part,))}

    def _publish(
        self, part: Assignment, job: Job, images: list[bytes], held: ExitStack
    ) -> PublishedJob:
        pending = self._service.new_job(job, part, images)
        held.callback(pending.close)
        pending.publish()
        return pending

    def _images(self, sources: object) -> list[bytes]:
        images = decode_images(sources, self._service.settings)
        limit = self._service.settings.max_images
        if len(images) > limit:
            raise TooLarge(f"There are {len(images)} images; the limit is {limit}.")
        return images

    def _served(self) -> list[tuple[ModelSpec, tuple[WorkerStatus, ...]]]:
        rows = answers.ours(self._catalog.models)
        return [
            (row, retry_while_unreachable(partial(self._service.presence, row)).workers)
            for row in rows
        ]

    def _snapshot(self) -> OllamaSnapshot:
        return retry_while_unreachable(self._service.store.ollama.get)


def _model(body: JsonObject) -> str:
    name = body.get("model") or body.get("name")
    if not isinstance(name, str):
        raise BadRequest("`model` is missing.")
    return name


def _options(value: object) -> Options:
    try:
        return Options.model_validate(value or {})
    except ValueError as err:
        raise BadRequest(f"`options` is malformed: {err}") from err


def _without(body: JsonObject, *names: str) -> JsonObject:
    return {name: value for name, value in body.items() if name not in names}


def _json(value: JsonObject) -> Response:
    return Response(json.dumps(value), mimetype="application/json")
