"""Turns every error into an HTTP reply."""

from functools import partial

import structlog
from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException, NotFound, RequestEntityTooLarge

from api.http import request_id
from api.http.client_connection import ClientGone
from api.schemas import ErrorReply
from shared.errors import Unauthorized, VisionError
from shared.tasks.registry import task_names

log = structlog.get_logger(__name__)

CLIENT_CLOSED_REQUEST = 499
"""nginx's status code for a client that closed the connection; only our log and metrics see it."""


def register_error_handlers(app: Flask, base: str) -> None:
    """Answer every error with JSON that has ``id``, ``code`` and ``error``.

    Args:
        app: the application.
        base: the path below which the vision routes are, for the message of a 404.
    """
    app.register_error_handler(VisionError, _vision_error)
    app.register_error_handler(HTTPException, partial(_http_error, base))
    app.register_error_handler(ClientGone, _client_gone)
    app.register_error_handler(Exception, _unexpected_error)


def _reply(code: int, message: str, retry_after_s: int | None = None) -> Response:
    g.error = message
    body = ErrorReply(id=request_id.for_reply(), code=code, error=message)
    response = Response(body.model_dump_json(), status=code, mimetype="application/json")
    if retry_after_s is not None:
        response.headers["Retry-After"] = str(retry_after_s)
    return response


def _vision_error(err: VisionError) -> Response:
    request_id.find()
    response = _reply(err.status, err.message, err.retry_after_s)
    if isinstance(err, Unauthorized):
        # Whoever sent a Bearer is the page, for example; to Basic, browsers ask for a password.
        sent_bearer = request.headers.get("Authorization", "").lower().startswith("bearer")
        scheme = "Bearer" if sent_bearer else "Basic"
        response.headers["WWW-Authenticate"] = f'{scheme} realm="Vision Workers"'
    return response


def _http_error(base: str, err: HTTPException) -> Response:
    message = err.description or err.name
    if isinstance(err, RequestEntityTooLarge):
        message = "The request body is too large."
    elif isinstance(err, NotFound) and request.url_rule is None:
        message = _no_route(base)
    request_id.find()
    response = _reply(err.code or 500, message)
    for name, value in err.get_headers():
        if name in ("Allow", "Retry-After"):
            response.headers[name] = value
    return response


def _client_gone(_: ClientGone) -> Response:
    return _reply(CLIENT_CLOSED_REQUEST, "The client closed the connection.")


def _no_route(base: str) -> str:
    """Return a message that names the routes that exist."""
    if not request.path.startswith(base):
        return "There is no such route. /openapi.json and /docs list all routes."
    tasks = ", ".join(task_names())
    return (
        f"There is no such route. Below {base} there is one route per task ({tasks}), optionally "
        "followed by /<model> or /<model>/<version>, and the route /models."
    )


def _unexpected_error(err: Exception) -> Response:
    log.error("unexpected error", exc_info=err)
    return _reply(500, f"Internal error. The service's log has the details under {g.request_id}.")
