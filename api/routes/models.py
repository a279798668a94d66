"""The list of models with the workers that serve them, and the operators' commands."""

from flask import Blueprint, Response, request

from api.http.openapi import JSON, operation
from api.http.operators import check_operator
from api.redis_retry import BRIEF_RETRY_S, redis_call
from api.routes.vision import BASE, MAX_PROMPT
from api.schemas import CommandReply, ModelEntry, ModelsReply, RequestLimits
from api.service import VisionService
from shared.errors import NotOffered
from shared.model_spec import ModelSpec
from shared.tasks import NSFW
from shared.tasks.nsfw import threshold_of
from shared.tasks.registry import Task
from shared.units import MEGA
from shared.vocabulary import OperatorCommand, Priority


def model_routes(service: VisionService) -> Blueprint:
    """Return the routes ``/api/v1/vision/models[/<model>/<command>]``."""
    routes, settings = Blueprint("models", __name__, url_prefix=BASE), service.settings
    limits = RequestLimits(
        max_body_bytes=int(settings.max_body_mb * MEGA),
        max_images=settings.max_images,
        max_megapixels=settings.max_megapixels,
        max_prompt=MAX_PROMPT,
    )

    @routes.get("/models")
    @operation("operation", reply={JSON: ModelsReply}, errors=[401, 429, 503])
    def models() -> Response:
        """List the models with their tasks, and the workers that serve them now."""
        with redis_call(BRIEF_RETRY_S):
            entries = tuple(_entry(service, spec) for spec in service.catalog.models)
        reply = ModelsReply(models=entries, limits=limits, flower_url=settings.flower_url)
        return Response(reply.model_dump_json(), mimetype="application/json")

    @routes.post(f"/models/<model>/<any({','.join(OperatorCommand)}):command>")
    @operation(
        "operation",
        reply={JSON: CommandReply},
        errors=[401, 403, 404, 429, 503],
        words={"command": OperatorCommand},
    )
    def command(model: str, command: str) -> Response:
        """Have all workers of a model replace its process, or end it until the next request.

        Meanwhile no request fails: requests wait for the new process.
        """
        check_operator(request, settings)
        workers = service.send_command(service.catalog.get(model), OperatorCommand(command))
        reply = CommandReply(model=model, command=OperatorCommand(command), workers=workers)
        return Response(reply.model_dump_json(), mimetype="application/json")

    return routes


def _entry(service: VisionService, spec: ModelSpec) -> ModelEntry:
    presence = service.store.presence.of(spec)
    return ModelEntry(
        name=spec.name,
        aliases=spec.aliases,
        tasks=spec.tasks,
        default_for=tuple(task for task in spec.tasks if _is_default(service, task, spec)),
        version=spec.version,
        family=spec.family,
        nsfw_threshold=threshold_of(spec.parameters) if NSFW in spec.tasks else None,
        queued=sum(map(presence.waiting, Priority)),
        queued_bulk=presence.queued_bulk,
        served=any(worker.state.is_up for worker in presence.workers),
        workers=presence.workers,
    )


def _is_default(service: VisionService, task: Task, spec: ModelSpec) -> bool:
    try:
        return service.catalog.resolve(task, "", "", service.settings.models).name == spec.name
    except NotOffered:
        return False
