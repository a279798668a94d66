"""The vision routes: one view for all tasks."""

from collections.abc import Mapping, Sequence
from functools import partial

from flask import Blueprint, Response, g, request
from werkzeug.http import quote_header_value

from api.http import request_id
from api.http.client_connection import client_of
from api.http.forms import MULTIPART, URL_ENCODED
from api.http.openapi import BYTES, JSON, Content, operation, reply_header
from api.http.priority import priority_of, takes_priority
from api.http.request_images import read_images
from api.http.request_parsing import check_input, read_request
from api.http.worker_host import names_worker, note_worker
from api.schemas import (
    ModelEcho,
    UploadForm,
    UrlQuery,
    VisionQuery,
    VisionReply,
    VisionRequest,
)
from api.service import Answer, VisionService
from shared.catalog import Assignment
from shared.errors import BadRequest
from shared.families import OLLAMA
from shared.messages import Job, JobTimes, OllamaInstructions
from shared.tasks.registry import base_tasks, find_task, path_words

BASE = "/api/v1/vision"
ERRORS = (400, 401, 404, 413, 422, 429, 500, 502, 503, 504)
BODIES: Content = {
    JSON: VisionRequest,
    MULTIPART: UploadForm,
    URL_ENCODED: UploadForm,
    "image/*": BYTES,
    "application/octet-stream": BYTES,
}
MAX_PROMPT = 8192
"""Characters of a prompt for our own models, whose prompts are short; a language model's server
has a limit of its own."""
SERVER_TIMING = "Server-Timing"
_TIMES = (
    "milliseconds for each model: how long its part of the request waited (`queue`), how long its "
    "images were decoded (`prepare`), and how long the model worked (`predict`), as in "
    '`queue;desc="blip";dur=1.5`'
)
_AFTER_TASK = ("", "/<model>", "/<model>/<version>")


def vision_routes(service: VisionService) -> Blueprint:
    """Return the routes ``/api/v1/vision[/<task>[/<model>[/<version>]]]``."""
    routes = Blueprint("vision", __name__, url_prefix=BASE)

    def vision(task: str = "", model: str = "", version: str = "") -> Response:
        # Step 1: read the request, choose the models, read the images.
        return _answer(service, task, model, version)

    documented = partial(
        operation, "vision", reply={JSON: VisionReply}, words={"task": path_words()}
    )

    @takes_priority
    @reply_header(SERVER_TIMING, _TIMES)
    @names_worker
    @documented(errors=ERRORS, query=UrlQuery)
    def get(**path: str) -> Response:
        """Return captions, labels and NSFW scores for a photo at a URL.

        Without a task in the path, every task that the model offers is done; without a model, each
        task by its default model. The reply holds only the results of these tasks.
        """
        return vision(**path)

    @takes_priority
    @reply_header(SERVER_TIMING, _TIMES)
    @names_worker
    @documented(errors=(*ERRORS, 408, 415), query=VisionQuery, body=BODIES)
    def post(**path: str) -> Response:
        """Return captions, labels and NSFW scores for a photo.

        Without a task in the path, every task that the model offers is done; without a model, each
        task by its default model. The reply holds only the results of these tasks. Fields are in
        the body, or in the query where the body is an image.
        """
        return vision(**path)

    words = ",".join(path_words())
    for rule in ("", *(f"/<any({words}):task>{rest}" for rest in _AFTER_TASK)):
        routes.add_url_rule(rule, "post", post, methods=["POST"])
        routes.add_url_rule(rule, "get", get, methods=["GET"])
    return routes


def _answer(service: VisionService, task: str, model: str, version: str) -> Response:
    parsed = read_request(request)
    body = parsed.body
    tasks = (find_task(task).name,) if task else base_tasks()
    if not model:  # with a model in the path, the body's model and version are ignored
        model, version = body.model, body.version
    plan = service.catalog.plan(tasks, model, version, service.settings.models)
    g.plan = plan
    g.models = ",".join(assignment.spec.name for assignment in plan)
    g.stands_in_for = service.catalog.stand_in(model)
    g.tasks = ",".join(name for assignment in plan for name in assignment.tasks)
    _check_prompt(plan, body.prompt)
    # Step 2 starts here, so that no image is fetched for a request that cannot be answered now.
    deadline, client = service.deadline(plan, g.arrived), client_of(request.environ)
    priority = priority_of(request)
    service.check(plan, deadline, priority)
    names = [name for assignment in plan for name in assignment.tasks]
    images = read_images(parsed, names, service.settings, deadline, client)
    ignored = parsed.ignored
    body = body.without_images  # their text takes more memory than all else while the client waits
    del parsed
    check_input(names, body.prompt, images.images, ignored)
    template = Job(
        request_id=g.request_id,
        prompt=body.prompt,
        **body.for_chat,
        options=body.options,
        ollama=OllamaInstructions(body=body.for_ollama),
        priority=priority,
        deadline=deadline,
    )
    # Steps 2 to 9: one job per model, answered by the workers.
    answer = service.run(template, plan, images, client)
    return _reply(plan[0], answer)


def _check_prompt(plan: Sequence[Assignment], prompt: str) -> None:
    """Raise an error if a prompt is too long for a model of our own.

    Raises:
        BadRequest: it is.
    """
    own = [spec.name for spec, _ in plan if spec.family != OLLAMA]
    if own and len(prompt) > MAX_PROMPT:
        raise BadRequest(
            f"The prompt has {len(prompt)} characters; {own[0]} takes at most {MAX_PROMPT}."
        )


def _reply(first: Assignment, answer: Answer) -> Response:
    # Step 10: reply.
    spec, tasks = first
    echo = ModelEcho(
        type=tasks[0], name=spec.name, version=spec.version, resolution=spec.resolution
    )
    reply = VisionReply(id=request_id.for_reply(), model=echo, result=answer.result)
    note_worker(*answer.hosts)
    return Response(
        reply.model_dump_json(exclude_none=True, by_alias=True),
        mimetype="application/json",
        headers={SERVER_TIMING: _server_timing(answer.times)},
    )


def _server_timing(times: Mapping[str, JobTimes]) -> str:
    """Return the header that says where the time went, as browsers' developer tools show it."""
    return ", ".join(
        f"{phase};desc={quote_header_value(model, allow_token=False)};dur={1000 * seconds:.1f}"
        for model, spent in times.items()
        for phase, seconds in spent._asdict().items()
    )
