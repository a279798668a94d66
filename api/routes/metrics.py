"""What Prometheus scrapes."""

from flask import Blueprint, Response, request
from spectree import SpecTree

from api.metrics import Metrics


def metrics_routes(metrics: Metrics, spec: SpecTree) -> Blueprint:
    """Return the route ``/metrics``."""
    routes = Blueprint("metrics", __name__)

    @routes.get("/metrics")
    @spec.validate(skip_validation=True, tags=["operation"])
    def numbers() -> Response:
        """Tell Prometheus of requests, queues and workers, as text."""
        body, content_type = metrics.exposition(request.headers.get("Accept", ""))
        return Response(body, content_type=content_type)

    return routes
