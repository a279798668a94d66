"""The route that Prometheus scrapes."""

from flask import Blueprint, Response, request

from api.http.openapi import STRING, TEXT, operation
from api.metrics import Metrics


def metrics_routes(metrics: Metrics) -> Blueprint:
    """Return the route ``/metrics``."""
    routes = Blueprint("metrics", __name__)

    @routes.get("/metrics")
    @operation(
        "operation", reply={TEXT: STRING, "application/openmetrics-text": STRING}, errors=[429]
    )
    def scrape() -> Response:
        """Return metrics of requests, queues and workers for Prometheus, as text."""
        body, content_type = metrics.exposition(request.headers.get("Accept", ""))
        return Response(body, content_type=content_type)

    return routes
