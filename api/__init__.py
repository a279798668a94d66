"""HTTP in, job out: the Flask application.

May import ``shared`` only; never ``workers``, torch, transformers or numpy.
"""

import io
import re
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import IO, Any

import structlog
from flask import Flask, Request, Response, g, jsonify, request
from spectree import SpecTree
from swagger_ui import flask_api_doc

from api.http import request_id
from api.http.auth import check_key
from api.http.error_handlers import register_error_handlers
from api.http.fetch import AllowList
from api.http.openapi import add_image_body
from api.limits.slots import RequestSlots
from api.metrics import Metrics, Queues
from api.routes.health import health_routes
from api.routes.metrics import metrics_routes
from api.routes.models import model_routes
from api.routes.ollama import ollama_routes
from api.routes.vision import BASE, vision_routes
from api.service import VisionService
from shared.catalog import Catalog
from shared.celery_app import make_celery
from shared.families import OLLAMA
from shared.redis.connection import connect
from shared.redis.store import Store
from shared.settings import Settings
from shared.units import MEGA

log = structlog.get_logger(__name__)
_SLASHES = re.compile("//+")


class _Request(Request):
    """A request whose uploads stay in memory: no photo is written to this machine's disk."""

    def _get_file_stream(
        self,
        total_content_length: int | None,
        content_type: str | None,
        filename: str | None = None,
        content_length: int | None = None,
    ) -> IO[bytes]:
        del total_content_length, content_type, filename, content_length
        return io.BytesIO()


def create_app(settings: Settings) -> Flask:
    """Return the application.

    Raises:
        ValueError: a setting or the catalogue is wrong; the message says what to do.
    """
    app = Flask("api", static_folder=None)
    app.request_class = _Request
    app.config["MAX_CONTENT_LENGTH"] = int(settings.max_body_mb * MEGA)
    app.config["MAX_FORM_MEMORY_SIZE"] = int(settings.max_body_mb * MEGA)
    app.url_map.strict_slashes = False  # PhotoPrism follows no redirect: answer either way
    app.url_map.merge_slashes = False
    app.wsgi_app = _merge_slashes(app.wsgi_app)  # type: ignore[method-assign]

    catalog = Catalog.load(settings.catalog, passes_on=settings.ollama.enabled)
    for name in settings.models:
        catalog.get(name)
    AllowList(settings.url_allow)
    store = Store(connect(settings.broker_url))
    asked_for = (*settings.models, OLLAMA) if settings.ollama.enabled else settings.models
    metrics = Metrics(
        catalog, settings.request_slots, Queues(catalog, asked_for, store.presence.of)
    )
    celery = make_celery(settings, worker=False)
    service = VisionService(settings, catalog, celery, store, metrics)
    document = SpecTree("flask", title="Vision Workers", version="1", mode="strict")
    register_error_handlers(app, BASE)
    app.register_blueprint(model_routes(service, document))
    slots = RequestSlots(settings.request_slots, metrics.in_flight)
    app.register_blueprint(vision_routes(service, slots, document))
    app.register_blueprint(ollama_routes(service, slots, document))
    app.register_blueprint(health_routes(service, document))
    app.register_blueprint(metrics_routes(metrics, document))
    document.app = app

    def openapi() -> Response:
        return jsonify(add_image_body(document.spec))

    app.add_url_rule("/openapi.json", view_func=openapi)
    app.add_url_rule("/docs/openapi.json", view_func=openapi)  # the page asks below its own path
    flask_api_doc(app, config_rel_url="/openapi.json", url_prefix="/docs", title="Vision Workers")
    _register_hooks(app, settings, metrics)
    return app


def _register_hooks(app: Flask, settings: Settings, metrics: Metrics) -> None:
    app.before_request(_begin)
    app.before_request(partial(_check_key, settings))
    app.after_request(_log_request)
    app.after_request(partial(_count_request, metrics))
    app.after_request(request_id.add_header)


def _begin() -> None:
    request_id.assign()
    g.started = time.perf_counter()


def _check_key(settings: Settings) -> None:
    if request.path.startswith("/api/"):
        check_key(request, settings.api_keys)


def _log_request(response: Response) -> Response:
    # Probes and polls are many and say nothing; requests with work or trouble in them are told.
    level = "info" if "models" in g or response.status_code >= 400 else "debug"
    fields = {name: g.get(name) for name in ("models", "tasks", "error") if g.get(name)}
    getattr(log, level)(
        "request",
        method=request.method,
        path=request.path,
        status=response.status_code,
        ms=round((time.perf_counter() - g.started) * 1000, 1),
        **fields,
    )
    return response


def _count_request(metrics: Metrics, response: Response) -> Response:
    # What no route takes has no blueprint; below the base it was meant for the vision routes.
    is_vision = request.blueprint in ("vision", None) and request.path.startswith(BASE)
    if is_vision or (request.blueprint == "ollama" and request.method == "POST"):
        seconds = time.perf_counter() - g.started
        metrics.answered(g.get("plan", ()), response.status_code, seconds)
    return response


def _merge_slashes(wsgi_app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """Read ``//`` in a path as ``/``: a base URI with a trailing slash makes them."""

    def middleware(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:  # noqa: ANN401
        environ["PATH_INFO"] = _SLASHES.sub("/", environ.get("PATH_INFO", ""))
        return wsgi_app(environ, start_response)

    return middleware
