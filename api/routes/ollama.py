"""Ollama's routes: any client of Ollama gets our models, and Ollama's through our queue."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, request
from spectree import Response as Documented
from spectree import SpecTree

from api.http.client_connection import limit_stalls
from api.limits.slots import RequestSlots
from api.ollama_compat.streaming import NDJSON
from api.ollama_compat.views import OllamaViews, Reply
from api.schemas import ErrorReply, OllamaReply, OllamaRequest
from api.service import VisionService
from shared.errors import Refused
from shared.vocabulary import OllamaCall

MANAGEMENT = ("pull", "push", "create", "copy", "delete")


def ollama_routes(service: VisionService, slots: RequestSlots, openapi: SpecTree) -> Blueprint:
    """Return ``/``, ``/api/{generate,chat,show,tags,ps,version}``, and what is refused."""
    routes = Blueprint("ollama", __name__)
    door = OllamaViews(service)
    documented = partial(
        openapi.validate,
        resp=Documented(HTTP_200=OllamaReply, HTTP_404=ErrorReply, HTTP_503=ErrorReply),
        skip_validation=True,
        tags=["ollama"],
    )

    routes.get("/")(openapi.validate(skip_validation=True, tags=["ollama"])(_greet))

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


def _in_slot(slots: RequestSlots, view: Callable[[ExitStack], Reply]) -> Any:  # noqa: ANN401 - Flask's
    """Run a view in a request slot, which a streamed reply keeps until its end."""
    with ExitStack() as held:
        held.enter_context(slots.hold())
        limit_stalls(request.environ)
        reply = view(held)
        if isinstance(reply, Response):
            return reply
        reply.hold(held.pop_all())
        # Not a response yet: SpecTree would read one to its end.
        return reply, HTTPStatus.OK, {"Content-Type": NDJSON}
