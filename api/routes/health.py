"""Liveness of this process, and readiness of what it needs."""

import redis
from flask import Blueprint, Response
from spectree import Response as Documented
from spectree import SpecTree

from api.schemas import ErrorReply, HealthReply
from api.service import VisionService
from shared.errors import BrokerUnavailable


def health_routes(service: VisionService, spec: SpecTree) -> Blueprint:
    """Return the routes ``/livez`` and ``/readyz``."""
    routes = Blueprint("health", __name__)

    @routes.get("/livez")
    @spec.validate(resp=Documented(HTTP_200=HealthReply), skip_validation=True, tags=["operation"])
    def livez() -> Response:
        """Say that this process answers."""
        return _ok(HealthReply())

    @routes.get("/readyz")
    @spec.validate(
        resp=Documented(HTTP_200=HealthReply, HTTP_503=ErrorReply),
        skip_validation=True,
        tags=["operation"],
    )
    def readyz() -> Response:
        """Say that requests can be queued: the broker answers.

        Models without a ready worker are named, but do not make this process unready.
        """
        try:
            return _ok(HealthReply(models=_troubles(service)))
        except redis.RedisError as err:
            raise BrokerUnavailable("Redis does not answer.") from err

    return routes


def _ok(reply: HealthReply) -> Response:
    return Response(reply.model_dump_json(), mimetype="application/json")


def _troubles(service: VisionService) -> dict[str, str]:
    troubles = {}
    for name in service.settings.models:
        workers = service.store.presence.of(service.catalog.get(name)).workers
        if not any(worker.state.is_up for worker in workers):
            first = workers[0] if workers else None
            troubles[name] = f"{first.state} {first.reason}".strip() if first else "no worker"
    return troubles
