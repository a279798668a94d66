"""How the service is set up, for operators who look for what is wrong: ``vision doctor``."""

import time

from flask import Blueprint, Response, request

from api.http.openapi import JSON, operation
from api.http.operators import check_operator
from api.redis_retry import BRIEF_RETRY_S, redis_call
from api.routes.vision import BASE
from api.schemas import SetupReply
from api.service import VisionService
from shared.version import PRODUCT


def setup_routes(service: VisionService) -> Blueprint:
    """Return the route ``/api/v1/vision/setup``."""
    routes, settings = Blueprint("setup", __name__, url_prefix=BASE), service.settings

    @routes.get("/setup")
    @operation("operation", reply={JSON: SetupReply}, errors=[401, 403, 429, 503])
    def setup() -> Response:
        """Say how the service is set up: Redis, models, keys, and its clock."""
        check_operator(request, settings)
        with redis_call(BRIEF_RETRY_S):
            server = service.store.server.describe()
        reply = SetupReply(
            product=PRODUCT,
            time=time.time(),
            models=settings.models,
            has_api_keys=bool(settings.api_keys),
            has_operator_keys=bool(settings.operator_keys),
            timeout_s=settings.timeout,
            redis=server,
        )
        return Response(reply.model_dump_json(), mimetype="application/json")

    return routes
