"""The Flask application: answers HTTP requests with the help of the workers.

May import ``shared`` only; never ``workers``, torch, transformers or numpy.
"""

import time
from functools import partial

import structlog
from flask import Flask, Response, g, request

from api.http import request_id, worker_host
from api.http.auth import check_access
from api.http.client_connection import ARRIVED, REFUSAL
from api.http.cors import CorsPolicy
from api.http.error_handlers import ErrorHandlers
from api.http.openapi import JsonSchema, make_document
from api.limits.waiting_room import WaitingRoom
from api.metrics import Metrics, QueueCollector
from api.openai_compat import OPENAI_BASE
from api.openai_compat.errors import OpenAiError
from api.routes.documents import add_documents
from api.routes.health import health_routes
from api.routes.metrics import metrics_routes
from api.routes.models import model_routes
from api.routes.ollama import ollama_routes
from api.routes.openai import openai_routes
from api.routes.page import page_routes
from api.routes.runs import run_routes
from api.routes.setup import setup_routes
from api.routes.vision import BASE, vision_routes
from api.service import VisionService
from shared.celery_app import make_celery
from shared.families import OLLAMA
from shared.redis import deadline
from shared.redis.connection import connect
from shared.redis.store import Store
from shared.settings import Settings
from shared.start import check_files
from shared.units import MEGA
from shared.vocabulary import Priority

log = structlog.get_logger(__name__)
WAITING_ROOM = "vision-waiting-room"
"""Where the application keeps the waiting rooms that its server uses, by priority."""


def create_app(settings: Settings) -> Flask:
    """Return the application.

    Raises:
        ValueError: a setting or the catalogue is invalid; the message says what to change.
    """
    app = Flask("api", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = int(settings.max_body_mb * MEGA)
    app.url_map.strict_slashes = False  # PhotoPrism does not follow redirects
    app.url_map.merge_slashes = False

    catalog = check_files(settings)
    deadline.install()
    store = Store(connect(settings.broker_url))
    enabled = (*settings.models, OLLAMA) if settings.ollama.enabled else settings.models
    queues = QueueCollector(catalog, enabled, store.presence.of)
    metrics = Metrics(catalog, settings.request_slots, queues)
    celery = make_celery(settings, worker=False)
    service = VisionService(settings, catalog, celery, store, metrics)
    reserve = settings.threads - settings.request_slots
    # Slots of their own: bulk work may take all of its slots, and keeps no person out.
    app.extensions[WAITING_ROOM] = {
        each: WaitingRoom(
            settings.request_slots,
            reserve,
            metrics.in_flight.labels(each),
            metrics.waiting.labels(each),
        )
        for each in Priority
    }
    ErrorHandlers(BASE).register(app)
    app.register_blueprint(model_routes(service))
    app.register_blueprint(setup_routes(service))
    app.register_blueprint(run_routes(service))
    app.register_blueprint(vision_routes(service))
    app.register_blueprint(ollama_routes(service))
    app.register_blueprint(page_routes(settings))
    app.register_blueprint(openai_routes(service))
    app.register_blueprint(health_routes(service))
    app.register_blueprint(metrics_routes(metrics))
    add_documents(app, openapi_document(app, settings))
    _register_hooks(app, settings, metrics)
    return app


def openapi_document(app: Flask, settings: Settings) -> JsonSchema:
    """Return the OpenAPI document of an application with these settings."""
    return make_document(app, settings.max_images, {OPENAI_BASE: OpenAiError})


def _register_hooks(app: Flask, settings: Settings, metrics: Metrics) -> None:
    app.before_request(_start_request)
    CorsPolicy(settings.cors_origins, BASE).register(app)
    app.before_request(lambda: check_access(request, settings))
    app.before_request(_refuse)
    app.after_request(_log_request)
    app.after_request(partial(_count_request, metrics))
    app.after_request(request_id.add_header)
    app.after_request(worker_host.add_header)


def _start_request() -> None:
    request_id.assign()
    now = time.time()
    g.arrived = request.environ.get(ARRIVED, now)
    g.started = time.perf_counter() - (now - g.arrived)


def _refuse() -> None:
    """Raise the error for which the server has not read the request.

    Raises:
        Exception: there is one.
    """
    if REFUSAL in request.environ:
        raise request.environ[REFUSAL]


def _log_request(response: Response) -> Response:
    # Probes and polls are frequent and of no interest; log requests for models, and errors.
    level = "info" if "models" in g or response.status_code >= 400 else "debug"
    fields = {
        name: g.get(name) for name in ("models", "stands_in_for", "tasks", "error") if g.get(name)
    }
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
    # Without a matching route there is no blueprint; below BASE a vision route was meant.
    is_vision = request.blueprint in ("vision", None) and request.path.startswith(BASE)
    if request.method == "OPTIONS":
        return response
    is_compatible = request.blueprint in ("ollama", "openai") and request.method == "POST"
    if is_vision or is_compatible:
        seconds = time.perf_counter() - g.started
        metrics.count_request(g.get("plan", ()), response.status_code, seconds)
    return response
