"""OpenAI's routes: its clients can use our own models, and Ollama's through our queue."""

from functools import partial

from flask import Blueprint, Response
from pydantic import BaseModel, ConfigDict

from api.answering.streaming import run
from api.http.openapi import JSON, STRING, Content, JsonSchema, operation
from api.http.priority import takes_priority
from api.http.worker_host import names_worker
from api.openai_compat import OPENAI_BASE
from api.openai_compat.completions import CompletionRequest
from api.openai_compat.models import OpenAiModel, OpenAiModels
from api.openai_compat.responses import ResponseRequest
from api.openai_compat.views import EVENTS, OpenAiViews
from api.routes.ollama import ANSWER_ERRORS
from api.service import VisionService

EVENT: JsonSchema = {
    "type": "object",
    "description": "one of the server-sent events",
    "properties": {"event": STRING, "data": STRING},
    "required": ["data"],
}


class OpenAiReply(BaseModel):
    """A reply in OpenAI's form; if `stream` is true, server-sent events."""

    model_config = ConfigDict(extra="allow")

    id: str
    object: str
    model: str


def openai_routes(service: VisionService) -> Blueprint:
    """Return ``/v1/chat/completions``, ``/v1/responses`` and ``/v1/models[/<model>]``."""
    routes = Blueprint("openai", __name__, url_prefix=OPENAI_BASE.rstrip("/"))
    views = OpenAiViews(service)
    documented = partial(operation, "openai")
    streamed: Content = {JSON: OpenAiReply, EVENTS: EVENT}
    answers = partial(documented, reply=streamed, errors=ANSWER_ERRORS)

    @routes.post("/chat/completions")
    @takes_priority
    @names_worker
    @answers(body={JSON: CompletionRequest})
    def chat_completions() -> Response:
        """Answer a conversation; models that do not chat use the user's last words and images."""
        return run(views.completions)

    @routes.post("/responses")
    @takes_priority
    @names_worker
    @answers(body={JSON: ResponseRequest})
    def responses() -> Response:
        """Answer a conversation; nothing is stored."""
        return run(views.responses)

    @routes.get("/models")
    @documented(reply={JSON: OpenAiModels}, errors=[401, 403, 429, 503])
    def models() -> Response:
        """List our own models that a worker serves, and the models of Ollama's servers."""
        return _json(views.models())

    @routes.get("/models/<path:model>")
    @documented(reply={JSON: OpenAiModel}, errors=[401, 403, 404, 429, 503])
    def model(model: str) -> Response:
        """Return one of these models."""
        return _json(views.model(model.rstrip("/")))  # a path takes the slash at its end, too

    return routes


def _json(body: BaseModel) -> Response:
    return Response(body.model_dump_json(), mimetype="application/json")
