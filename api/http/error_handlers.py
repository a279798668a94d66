"""The one place where an error becomes an HTTP reply."""

from functools import partial
from http import HTTPStatus

import structlog
from flask import Flask, Response, g, request
from werkzeug.exceptions import (
    ClientDisconnected,
    HTTPException,
    NotFound,
    RequestEntityTooLarge,
)

from api.dispatch import ClientGone
from api.http import request_id
from api.schemas import ErrorReply
from shared.errors import Unauthorized, VisionError
from shared.tasks.registry import task_names

log = structlog.get_logger(__name__)

CLIENT_CLOSED_REQUEST = 499
"""nginx's code for a client that hung up; only our log sees it."""


def register_error_handlers(app: Flask, base: str) -> None:
    """Answer every error as JSON with ``id``, ``code`` and ``error``.

    Args:
        app: the application.
        base: below which tasks are, for the message where there is no route.
    """
    app.register_error_handler(VisionError, _vision_error)
    app.register_error_handler(HTTPException, partial(_http_error, base))
    app.register_error_handler(ClientGone, _client_gone)
    app.register_error_handler(ClientDisconnected, _cut_short)
    app.register_error_handler(Exception, _bug)


def _reply(code: int, message: str, retry_after_s: int | None = None) -> Response:
    g.error = message
    body = ErrorReply(id=request_id.echoed(), code=code, error=message)
    response = Response(body.model_dump_json(), status=code, mimetype="application/json")
    if retry_after_s is not None:
        response.headers["Retry-After"] = str(retry_after_s)
    return response


def _vision_error(err: VisionError) -> Response:
    response = _reply(err.status, err.message, err.retry_after_s)
    if isinstance(err, Unauthorized):
        response.headers["WWW-Authenticate"] = 'Basic realm="Vision Workers"'
    return response


def _http_error(base: str, err: HTTPException) -> Response:
    message = err.description or err.name
    if isinstance(err, RequestEntityTooLarge):
        message = "The request body is too large."
    elif isinstance(err, NotFound) and request.url_rule is None:
        message = _no_route(base)
    response = _reply(err.code or 500, message)
    for name, value in err.get_headers():
        if name in ("Allow", "Retry-After"):
            response.headers[name] = value
    return response


def _client_gone(_: ClientGone) -> Response:
    return _reply(CLIENT_CLOSED_REQUEST, "The client hung up.")


def _no_route(base: str) -> str:
    """Say what there is where nothing was found."""
    if not request.path.startswith(base):
        return "There is no such route. /openapi.json and /docs have all."
    tasks = ", ".join(task_names())
    return (
        f"There is no such route. Below {base} there are the tasks {tasks}, each also with "
        "/<model> and /<model>/<version>, and models."
    )


def _cut_short(err: ClientDisconnected) -> Response:
    # Werkzeug says the same of a client that hung up and of one that is merely silent; what our
    # limit on silence raised (``api.http.client_connection``) is behind it.
    if isinstance(err.__context__, TimeoutError):
        return _reply(HTTPStatus.REQUEST_TIMEOUT, "The request's body did not arrive.")
    return _reply(HTTPStatus.BAD_REQUEST, "The request's body ends before it is complete.")


def _bug(err: Exception) -> Response:
    log.error("bug", exc_info=err)
    return _reply(500, f"Internal error. The service's log tells more under {g.request_id}.")
