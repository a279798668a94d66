"""Ollama's routes: its clients can use our own models, and Ollama's through our queue."""

from functools import partial

from flask import Blueprint, Response

from api.answering.streaming import run
from api.http.openapi import JSON, STRING, Content, operation
from api.http.priority import takes_priority
from api.http.worker_host import names_worker
from api.ollama_compat.schemas import ChatRequest, GenerateRequest, OllamaReply, ShowRequest
from api.ollama_compat.streaming import NDJSON
from api.ollama_compat.views import OllamaViews
from api.service import VisionService
from shared.errors import Refused
from shared.vocabulary import OllamaCall

ANSWER_ERRORS = (400, 401, 403, 404, 408, 413, 415, 422, 429, 500, 502, 503, 504)
MANAGEMENT = ("pull", "push", "create", "copy", "delete")


def ollama_routes(service: VisionService) -> Blueprint:
    """Return ``/api/{generate,chat,show,tags,ps,version}``, and the refused routes."""
    routes = Blueprint("ollama", __name__)
    views = OllamaViews(service)
    streamed: Content = {JSON: OllamaReply, NDJSON: STRING}
    documented = partial(operation, "ollama", errors=ANSWER_ERRORS)

    @routes.post("/api/generate")
    @takes_priority
    @names_worker
    @documented(body={JSON: GenerateRequest}, reply=streamed)
    def generate() -> Response:
        """Answer a prompt with images; our own models caption or, with `format`, label them."""
        return run(partial(views.answer, OllamaCall.GENERATE))

    @routes.post("/api/chat")
    @takes_priority
    @names_worker
    @documented(body={JSON: ChatRequest}, reply=streamed)
    def chat() -> Response:
        """Answer a chat; our own models use the text since the latest answer, and its images.

        Without images there, they use those of the latest message that has any.
        """
        return run(partial(views.answer, OllamaCall.CHAT))

    @routes.post("/api/show")
    @takes_priority
    @names_worker
    @documented(body={JSON: ShowRequest}, reply={JSON: OllamaReply})
    def show() -> Response:
        """Return the details of a model."""
        return run(views.show)

    _add_lists(routes, views)
    return routes


def _add_lists(routes: Blueprint, views: OllamaViews) -> None:
    """Add the routes that run no model, and those that are refused."""
    lists = operation("ollama", reply={JSON: OllamaReply}, errors=[401, 403, 429, 503])

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
    @operation("ollama", errors=[401, 403, 404, 405, 429], words={"what": MANAGEMENT})
    def manage(what: str) -> Response:
        """Refuse to manage models."""
        raise Refused(
            f"Models are not managed here: run `ollama {what}` on the Ollama server itself. This "
            "service's own models are listed in its catalogue, models.yaml."
        )
