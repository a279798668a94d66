"""The catalogue as clients see it, who serves it now, and what operators can do about it."""

import redis
from flask import Blueprint, Response
from spectree import Response as Documented
from spectree import SpecTree

from api.routes.vision import BASE
from api.schemas import CommandReply, ErrorReply, ModelEntry, ModelsReply
from api.service import VisionService
from shared.errors import BrokerUnavailable, NotOffered
from shared.model_spec import ModelSpec
from shared.tasks.registry import Task
from shared.vocabulary import OperatorCommand


def model_routes(service: VisionService, spec: SpecTree) -> Blueprint:
    """Return the routes ``/api/v1/vision/models[/<model>/<command>]``."""
    routes = Blueprint("models", __name__, url_prefix=BASE)

    @routes.get("/models")
    @spec.validate(
        resp=Documented(HTTP_200=ModelsReply, HTTP_401=ErrorReply, HTTP_503=ErrorReply),
        skip_validation=True,
        tags=["operation"],
    )
    def models() -> Response:
        """List the models with their tasks, and the workers that serve them now."""
        try:
            entries = tuple(_entry(service, row) for row in service.catalog.models)
        except redis.RedisError as err:
            raise BrokerUnavailable("Redis does not answer. Try again soon.") from err
        return Response(ModelsReply(models=entries).model_dump_json(), mimetype="application/json")

    @routes.post(f"/models/<model>/<any({','.join(OperatorCommand)}):command>")
    @spec.validate(
        resp=Documented(
            HTTP_200=CommandReply, HTTP_401=ErrorReply, HTTP_404=ErrorReply, HTTP_503=ErrorReply
        ),
        skip_validation=True,
        tags=["operation"],
    )
    def command(model: str, command: str) -> Response:
        """Have all workers of a model replace its process, or end it until the next request.

        Requests are served all the same: they wait for the new process.
        """
        told = service.command(service.catalog.get(model), OperatorCommand(command))
        reply = CommandReply(model=model, command=OperatorCommand(command), workers=told)
        return Response(reply.model_dump_json(), mimetype="application/json")

    return routes


def _entry(service: VisionService, row: ModelSpec) -> ModelEntry:
    presence = service.store.presence.of(row)
    return ModelEntry(
        name=row.name,
        aliases=row.aliases,
        tasks=row.tasks,
        default_for=tuple(task for task in row.tasks if _is_default(service, task, row)),
        version=row.version,
        family=row.family,
        queued=presence.queued,
        served=any(worker.state.is_up for worker in presence.workers),
        workers=presence.workers,
    )


def _is_default(service: VisionService, task: Task, row: ModelSpec) -> bool:
    try:
        return service.catalog.resolve(task, "", "", service.settings.models).name == row.name
    except NotOffered:
        return False
