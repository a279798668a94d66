"""Liveness of this process, and readiness of what it needs."""

from flask import Blueprint, Response

from api.http.openapi import JSON, operation
from api.redis_retry import BRIEF_RETRY_S, redis_call
from api.schemas import HealthReply
from api.service import VisionService


def health_routes(service: VisionService) -> Blueprint:
    """Return the routes ``/livez`` and ``/readyz``."""
    routes = Blueprint("health", __name__)

    @routes.get("/livez")
    @operation("operation", reply={JSON: HealthReply})
    def livez() -> Response:
        """Return 200 while this process answers."""
        return _ok(HealthReply())

    @routes.get("/readyz")
    @operation("operation", reply={JSON: HealthReply}, errors=[429, 503])
    def readyz() -> Response:
        """Return 200 while requests can be queued, because Redis answers.

        Models without a ready worker are listed, but do not make this process unready.
        """
        with redis_call(BRIEF_RETRY_S):
            return _ok(HealthReply(models=_not_ready(service)))

    return routes


def _ok(reply: HealthReply) -> Response:
    return Response(reply.model_dump_json(), mimetype="application/json")


def _not_ready(service: VisionService) -> dict[str, str]:
    """Return for each enabled model that no worker has ready the reason."""
    reasons = {}
    for name in service.settings.models:
        workers = service.store.presence.of(service.catalog.get(name)).workers
        if not any(worker.state.is_up for worker in workers):
            first = workers[0] if workers else None
            reasons[name] = f"{first.state} {first.reason}".strip() if first else "no worker"
    return reasons
