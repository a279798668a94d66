"""Turns every error into an HTTP reply."""

import structlog
from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException, NotFound, RequestEntityTooLarge

from api.http import request_id
from api.http.client_connection import ClientGone
from api.http.error_forms import error_body
from api.http.worker_host import note_worker
from shared.errors import Unauthorized, VisionError
from shared.tasks.registry import task_names

log = structlog.get_logger(__name__)

CLIENT_CLOSED_REQUEST = 499
"""nginx's status code for a client that closed the connection; only our log and metrics see it."""


class ErrorHandlers:
    """Answers every error with JSON."""

    def __init__(self, base: str) -> None:
        """Prepare.

        Args:
            base: the path below which the vision routes are, for the message of a 404.
        """
        self._base = base

    def register(self, app: Flask) -> None:
        """Have an application answer in this way."""
        app.register_error_handler(VisionError, self._vision_error)
        app.register_error_handler(HTTPException, self._http_error)
        app.register_error_handler(ClientGone, self._client_gone)
        app.register_error_handler(Exception, self._unexpected_error)

    def _reply(
        self, err: Exception, code: int, message: str, retry_after_s: int | None = None
    ) -> Response:
        g.error = message
        body = error_body(request.path, err, code, message, request_id.for_reply())
        response = Response(body, status=code, mimetype="application/json")
        if retry_after_s is not None:
            response.headers["Retry-After"] = str(retry_after_s)
        return response

    def _vision_error(self, err: VisionError) -> Response:
        request_id.find()
        note_worker(err.host)
        response = self._reply(err, err.status, err.message, err.retry_after_s)
        if isinstance(err, Unauthorized):
            # To Basic, browsers ask for a password, and a script, as of our page, waits meanwhile.
            sent_bearer = request.headers.get("Authorization", "").lower().startswith("bearer")
            scheme = "Bearer" if sent_bearer or "X-Requested-With" in request.headers else "Basic"
            response.headers["WWW-Authenticate"] = f'{scheme} realm="Vision Workers"'
        return response

    def _http_error(self, err: HTTPException) -> Response:
        message = err.description or err.name
        if isinstance(err, RequestEntityTooLarge):
            message = "The request body is too large."
        elif isinstance(err, NotFound) and request.url_rule is None:
            message = self._no_route()
        request_id.find()
        response = self._reply(err, err.code or 500, message)
        for name, value in err.get_headers():
            if name in ("Allow", "Retry-After"):
                response.headers[name] = value
        return response

    def _client_gone(self, err: ClientGone) -> Response:
        return self._reply(err, CLIENT_CLOSED_REQUEST, "The client closed the connection.")

    def _unexpected_error(self, err: Exception) -> Response:
        log.error("unexpected error", exc_info=err)
        message = f"Internal error. The service's log has the details under {g.request_id}."
        return self._reply(err, 500, message)

    def _no_route(self) -> str:
        """Return a message that names the routes that exist."""
        if not request.path.startswith(self._base):
            return "There is no such route. /openapi.json and /docs list all routes."
        tasks = ", ".join(task_names())
        return (
            f"There is no such route. Below {self._base} there is one route per task ({tasks}), "
            "optionally followed by /<model> or /<model>/<version>, and the route /models."
        )
