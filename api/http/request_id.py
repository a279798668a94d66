"""The id of a request: one for logs and the header ``X-Request-ID``, one that the body echoes.

They are the same unless the client sends both and they differ. The header names the request in our
logs, the body's ``id`` comes back in the body unchanged, and the API's log line then has both.
"""

import re
import uuid

import structlog
from flask import Response, g, request

from api.schemas import ID_PATTERN

HEADER = "X-Request-ID"


def begin() -> None:
    """Take the header's id, or make one; bind it to this thread's log lines."""
    offered = request.headers.get(HEADER, "")
    g.id_from_header = bool(re.fullmatch(ID_PATTERN, offered))
    g.request_id = offered if g.id_from_header else str(uuid.uuid4())
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def adopt(body_id: object) -> None:
    """Echo the body's ``id`` from here on, also in errors, if it is one.

    Without a header it names the request in the logs too.
    """
    if not isinstance(body_id, str) or not re.fullmatch(ID_PATTERN, body_id):
        return
    g.body_id = body_id
    if not g.get("id_from_header"):
        g.request_id = body_id
        structlog.contextvars.bind_contextvars(request_id=body_id)
    elif body_id != g.request_id:
        structlog.contextvars.bind_contextvars(body_id=body_id)


def echoed() -> str:
    """Return the id that belongs into the reply's body."""
    return str(g.get("body_id") or g.request_id)


def add_header(response: Response) -> Response:
    """Say under which id the logs have the request."""
    response.headers[HEADER] = g.request_id
    return response
