"""The vision routes: one view for all tasks, driven by the catalogue."""

from functools import partial

from flask import Blueprint, Response, g, request
from spectree import Response as Documented
from spectree import SpecTree

from api.http import request_id
from api.http.client_connection import has_disconnected, limit_stalls
from api.http.request_parsing import check_input, read_images, read_request
from api.limits.slots import RequestSlots
from api.schemas import ErrorReply, ModelEcho, UploadForm, VisionQuery, VisionReply, VisionRequest
from api.service import VisionService
from shared.messages import Job, OllamaInstructions
from shared.tasks.registry import base_tasks, find_task, path_words

BASE = "/api/v1/vision"
DOCUMENTED = {
    f"HTTP_{code}": ErrorReply for code in (400, 401, 404, 405, 413, 422, 429, 500, 502, 503, 504)
}


def vision_routes(service: VisionService, slots: RequestSlots, spec: SpecTree) -> Blueprint:
    """Return the routes ``/api/v1/vision[/<task>[/<model>[/<version>]]]``."""
    routes = Blueprint("vision", __name__, url_prefix=BASE)

    def vision(task: str = "", model: str = "", version: str = "") -> Response:
        """Ask for captions, labels and NSFW scores of a photo.

        Without a task in the path every task that the model offers is done; without a model, each
        task by its default model. The reply holds what was asked for.
        """
        with slots.hold():
            return _answer(service, task, model, version)

    view_post = spec.validate(
        json=VisionRequest,
        form=UploadForm,
        query=VisionQuery,  # where the body is an image; documents.py adds that body
        resp=Documented(HTTP_200=VisionReply, HTTP_408=ErrorReply, **DOCUMENTED),
        skip_validation=True,  # our reader names the fault in one sentence, and sniffs no further
        tags=["vision"],
    )(vision)
    view_get = spec.validate(
        query=VisionQuery,
        resp=Documented(HTTP_200=VisionReply, **DOCUMENTED),
        skip_validation=True,
        tags=["vision"],
    )(vision)
    words = ",".join(path_words())
    for rule in ("", *(f"/<any({words}):task>{rest}" for rest in _RESTS)):
        routes.add_url_rule(rule, "post", view_post, methods=["POST"])
        routes.add_url_rule(rule, "get", view_get, methods=["GET"])
    return routes


_RESTS = ("", "/<model>", "/<model>/<version>")


def _answer(service: VisionService, task: str, model: str, version: str) -> Response:
    limit_stalls(request.environ)
    ask = read_request(request)
    body = ask.body
    tasks = (find_task(task).name,) if task else base_tasks()
    if not model:  # a model in the path says all; the body's version belongs to the body's model
        model, version = body.model, body.version
    plan = service.catalog.plan(tasks, model, version, service.settings.models)
    g.plan = plan
    g.models = ",".join(part.spec.name for part in plan)
    g.tasks = ",".join(done for part in plan for done in part.tasks)
    service.check(plan)
    deadline, gone = service.deadline(plan), partial(has_disconnected, request.environ)
    images = read_images(ask, service.settings, deadline, gone)
    check_input((name for part in plan for name in part.tasks), body.prompt, images)
    asked = Job(
        request_id=g.request_id,
        prompt=body.prompt,
        **body.for_chat,
        options=body.options,
        ollama=OllamaInstructions(body=body.for_ollama),
        deadline=deadline,
    )
    result = service.run(asked, plan, images, gone)
    row, done = plan[0]
    echo = ModelEcho(type=done[0], name=row.name, version=row.version, resolution=row.resolution)
    reply = VisionReply(id=request_id.for_reply(), model=echo, result=result)
    return Response(
        reply.model_dump_json(exclude_none=True, by_alias=True), mimetype="application/json"
    )
