"""Ollama's routes: its clients can use our own models, and Ollama's through our queue."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response
from spectree import Response as Documented
from spectree import SpecTree

from api.ollama_compat.streaming import NDJSON
from api.ollama_compat.views import OllamaViews, Reply
from api.schemas import ErrorReply, OllamaReply, OllamaRequest
from api.service import VisionService
from shared.errors import Refused
from shared.vocabulary import OllamaCall

ANSWER_ERRORS = (400, 401, 403, 404, 408, 413, 415, 422, 429, 500, 502, 503, 504)
MANAGEMENT = ("pull", "push", "create", "copy", "delete")


def ollama_routes(service: VisionService, openapi: SpecTree) -> Blueprint:
    """Return ``/``, ``/api/{generate,chat,show,tags,ps,version}``, and the refused routes."""
    routes = Blueprint("ollama", __name__)
    views = OllamaViews(service)
    documented = partial(openapi.validate, skip_validation=True, tags=["ollama"])
    answers = documented(json=OllamaRequest, resp=_replies(*ANSWER_ERRORS))

    routes.get("/")(openapi.validate(skip_validation=True, tags=["ollama"])(_greet))

    @routes.post("/api/generate")
    @answers
    def generate() -> Any:  # noqa: ANN401 - as Flask accepts it
        """Answer a prompt with images; our own models caption or, with `format`, label them."""
        return _stream(partial(views.answer, OllamaCall.GENERATE))

    @routes.post("/api/chat")
    @answers
    def chat() -> Any:  # noqa: ANN401 - as Flask accepts it
        """Answer a chat; our own models use the text since the latest answer, and its images.

        Without images there, they use those of the latest message that has any.
        """
        return _stream(partial(views.answer, OllamaCall.CHAT))

    @routes.post("/api/show")
    @answers
    def show() -> Any:  # noqa: ANN401 - as Flask accepts it
        """Return the details of a model."""
        return _stream(views.show)

    _add_lists(routes, views, documented)
    return routes


def _add_lists(
    routes: Blueprint, views: OllamaViews, documented: Callable[..., Callable[..., Any]]
) -> None:
    """Add the routes that run no model, and those that are refused."""
    lists = documented(resp=_replies(401, 403, 503))

    @routes.get("/api/tags")
    @lists
    def tags() -> Response:
        """List our own models that a worker serves, and the models of Ollama's servers."""
        return views.tags()

    @routes.get("/api/ps")
    @lists
    def ps() -> Response:
        """List the models that are loaded."""
        return views.ps()

    @routes.get("/api/version")
    @lists
    def version() -> Response:
        """Return the version of Ollama whose API this is."""
        return views.version()

    @routes.route(f"/api/<any({','.join(MANAGEMENT)}):what>", methods=["POST", "DELETE"])
    @documented(resp=Documented(HTTP_401=ErrorReply, HTTP_403=ErrorReply))
    def manage(what: str) -> Response:
        """Refuse to manage models."""
        raise Refused(
            f"Models are not managed here: run `ollama {what}` on the Ollama server itself. This "
            "service's own models are listed in its catalogue, models.yaml."
        )


def _replies(*errors: int) -> Documented:
    return Documented(HTTP_200=OllamaReply, **{f"HTTP_{code}": ErrorReply for code in errors})


def _greet() -> Response:
    """Answer as an Ollama server does; its command line client checks that with HEAD."""
    return Response("Ollama is running", mimetype="text/plain")


def _stream(view: Callable[[ExitStack], Reply]) -> Any:  # noqa: ANN401 - as Flask accepts it
    """Run a view; what it opens, a streamed reply holds until it is closed."""
    with ExitStack() as resources:
        reply = view(resources)
        if isinstance(reply, Response):
            return reply
        reply.hold(resources.pop_all())
        # Not as a Response: SpecTree would read that to its end before it is sent.
        return reply, HTTPStatus.OK, {"Content-Type": NDJSON}
