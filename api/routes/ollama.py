"""Ollama's routes: any client of Ollama gets our models, and Ollama's through our queue."""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from http import HTTPStatus
from typing import Any

import structlog
from flask import Blueprint, Response, g, request
from spectree import Response as Documented
from spectree import SpecTree

from api.dispatch import ClientGone, PublishedJob
from api.http.client_connection import client_gone, limit_stalls
from api.http.request_parsing import check_input, decode_images, read_object
from api.limits.admission import patiently
from api.limits.slots import Slots
from api.ollama_compat import answers as front_door
from api.schemas import ErrorReply, OllamaReply, OllamaRequest, chat_fields
from api.service import VisionService
from shared.catalog import Assignment
from shared.errors import BadRequest, Refused, TooLarge, VisionError
from shared.families import OLLAMA
from shared.messages import Job, JsonObject, OllamaInstructions, Options
from shared.model_spec import ModelSpec
from shared.redis.ollama import OllamaSnapshot
from shared.redis.presence import WorkerStatus
from shared.tasks.registry import find_task
from shared.vocabulary import OllamaCall

log = structlog.get_logger(__name__)

NDJSON = "application/x-ndjson"
MANAGEMENT = ("pull", "push", "create", "copy", "delete")


def ollama_routes(service: VisionService, slots: Slots, spec: SpecTree) -> Blueprint:
    """Return ``/``, ``/api/{generate,chat,show,tags,ps,version}``, and what is refused."""
    routes = Blueprint("ollama", __name__)
    door = _Door(service)
    documented = partial(
        spec.validate,
        resp=Documented(HTTP_200=OllamaReply, HTTP_404=ErrorReply, HTTP_503=ErrorReply),
        skip_validation=True,
        tags=["ollama"],
    )

    routes.get("/")(spec.validate(skip_validation=True, tags=["ollama"])(_greet))

    @routes.post("/api/generate")
    @documented(json=OllamaRequest)
    def generate() -> Any:  # noqa: ANN401 - Flask's
        """Answer a prompt and images; a model of ours makes a caption, or labels with `format`."""
        return _in_slot(slots, partial(door.answer, OllamaCall.GENERATE))

    @routes.post("/api/chat")
    @documented(json=OllamaRequest)
    def chat() -> Any:  # noqa: ANN401 - Flask's
        """Answer a chat; a model of ours looks at the images of the last message."""
        return _in_slot(slots, partial(door.answer, OllamaCall.CHAT))

    @routes.post("/api/show")
    @documented(json=OllamaRequest)
    def show() -> Any:  # noqa: ANN401 - Flask's
        """Tell details of a model."""
        return _in_slot(slots, door.show)

    @routes.get("/api/tags")
    @documented()
    def tags() -> Response:
        """List the models that run here, and those of Ollama's servers."""
        return door.tags()

    @routes.get("/api/ps")
    @documented()
    def ps() -> Response:
        """List the models that are loaded."""
        return door.running()

    @routes.get("/api/version")
    @documented()
    def version() -> Response:
        """Tell the version of Ollama's API that is spoken here."""
        return door.version()

    @routes.route(f"/api/<any({','.join(MANAGEMENT)}):what>", methods=["POST", "DELETE"])
    @documented()
    def manage(what: str) -> Response:
        """Refuse to manage models."""
        raise Refused(
            f"Models are not managed here: run `ollama {what}` on the Ollama server itself; models "
            "of this service are rows of its catalogue."
        )

    return routes


def _greet() -> Response:
    """Answer as Ollama's server does: its command line asks with HEAD whether one is there."""
    return Response("Ollama is running", mimetype="text/plain")


class _Stream(Iterator[bytes]):
    """A streamed reply; whatever it holds is given back when the server closes it."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines, self._held = lines, ExitStack()

    def hold(self, held: ExitStack) -> None:
        """Take over what is to be given back at the end."""
        self._held = held

    def __next__(self) -> bytes:
        return next(self._lines)

    def close(self) -> None:
        """End it, also when nothing was read."""
        self._held.close()


Reply = Response | _Stream


def _in_slot(slots: Slots, view: Callable[[ExitStack], Reply]) -> Any:  # noqa: ANN401 - Flask's
    """Run a view in a request slot, which a streamed reply keeps until its end."""
    with ExitStack() as held:
        held.enter_context(slots.taken())
        limit_stalls(request.environ)
        reply = view(held)
        if isinstance(reply, Response):
            return reply
        reply.hold(held.pop_all())
        # Not a response yet: SpecTree would read one to its end.
        return reply, HTTPStatus.OK, {"Content-Type": NDJSON}


class _Door:
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
        return self._of_ours(call, body, front_door.assignment_for(spec, body.get("format")), held)

    def show(self, held: ExitStack) -> Response:
        """Answer ``/api/show``."""
        body = read_object(request)
        spec = self._catalog.find(_model(body), "")
        if spec.family != OLLAMA:
            return _json(front_door.shown(spec))
        ask = OllamaInstructions(call=OllamaCall.SHOW, body=_without(body, "model", "name"))
        part = Assignment(spec, ())
        pending = self._publish(part, Job(ollama=ask, **self._common(part)), [], held)
        return _json(pending.wait(partial(client_gone, request.environ)).raw or {})

    def tags(self) -> Response:
        """Answer ``/api/tags``."""
        served = [row for row, workers in self._served() if workers]
        return _json(front_door.tags(served, self._snapshot()))

    def running(self) -> Response:
        """Answer ``/api/ps``."""
        return _json(front_door.running(self._served(), self._snapshot()))

    def version(self) -> Response:
        """Answer ``/api/version``."""
        return _json({"version": self._snapshot().version or front_door.API_LEVEL})

    def _of_ollama(
        self, call: OllamaCall, body: JsonObject, part: Assignment, held: ExitStack
    ) -> Reply:
        """Pass a request on, and the reply back as it comes."""
        stream = body.get("stream") is not False
        fields = _without(body, "model", "stream", "images")
        if call == OllamaCall.CHAT:
            chat = front_door.take_images(body.get("messages") or [])
            sources: object = chat.images
            fields["messages"] = chat.messages
        else:
            sources = body.get("images")
        images = self._images(sources)
        self._service.check((part,))
        ask = OllamaInstructions(call=call, body=fields, stream=stream)
        pending = self._publish(part, Job(ollama=ask, **self._common(part)), images, held)
        gone = partial(client_gone, request.environ)
        if not stream:
            return _json(pending.wait(gone).raw or {})
        parts = pending.parts(gone)
        first = next(parts)  # what fails before it becomes a status
        return _Stream(_lines(first, parts, g.request_id))

    def _of_ours(
        self, call: OllamaCall, body: JsonObject, part: Assignment, held: ExitStack
    ) -> Reply:
        """Have a model of ours look, and say it as Ollama would."""
        is_chat = call == OllamaCall.CHAT
        said = front_door.take_images(body.get("messages")) if is_chat else None
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
            outcome = pending.wait(partial(client_gone, request.environ))
            text = front_door.as_text(outcome.result, structured=bool(body.get("format")))
        elif prompt:
            raise BadRequest(f"{part.spec.name} answers to images, and there is none.")
        whole = front_door.reply(name, text, time.monotonic() - started, chat=is_chat)
        if not asked:
            whole["done_reason"] = "load"  # what an empty request asks for
        if body.get("stream") is False:
            return _json(whole)
        return _Stream(_ndjson(front_door.parts_of(whole)))

    def _common(self, part: Assignment) -> dict[str, Any]:
        return {"request_id": g.request_id, "deadline": self._service.deadline((part,))}

    def _publish(
        self, part: Assignment, job: Job, images: list[bytes], held: ExitStack
    ) -> PublishedJob:
        pending = self._service.pending(job, part, images)
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
        rows = front_door.ours(self._catalog.models)
        return [(row, patiently(partial(self._service.presence, row)).workers) for row in rows]

    def _snapshot(self) -> OllamaSnapshot:
        return patiently(self._service.store.ollama.get)


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


def _ndjson(parts: Iterable[JsonObject]) -> Iterator[bytes]:
    for part in parts:
        yield json.dumps(part).encode() + b"\n"


def _lines(first: JsonObject, rest: Iterator[JsonObject], request_id: str) -> Iterator[bytes]:
    """Write a streamed reply; what fails on the way becomes its last line."""
    yield from _ndjson([first])
    try:
        yield from _ndjson(rest)
    except ClientGone:
        log.info("the client hung up", request_id=request_id)
    except VisionError as err:
        log.warning("reply broke off", request_id=request_id, error=err.message)
        yield from _ndjson([{"error": err.message}])
