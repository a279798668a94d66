"""Request ids: one for logs and the header ``X-Request-ID``, and one that the reply's body repeats.

They are the same unless the client sends two different ones. The header's id names the request in
our logs; the body's ``id`` is returned unchanged in the reply's body, and the API's log line has
both.
"""

import re
import uuid

import structlog
from flask import Response, g, request

from api.schemas import ID_PATTERN

HEADER = "X-Request-ID"


def assign() -> None:
    """Take the header's id, or make one, and bind it to this thread's log lines."""
    header = request.headers.get(HEADER, "")
    g.id_from_header = bool(re.fullmatch(ID_PATTERN, header))
    g.request_id = header if g.id_from_header else str(uuid.uuid4())
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def adopt(body_id: object) -> None:
    """If the body's ``id`` is valid, use it in the reply from here on, also in errors.

    Without a header it names the request in the logs, too.
    """
    if not isinstance(body_id, str) or not re.fullmatch(ID_PATTERN, body_id):
        return
    g.body_id = body_id
    if not g.get("id_from_header"):
        g.request_id = body_id
        structlog.contextvars.bind_contextvars(request_id=body_id)
    elif body_id != g.request_id:
        structlog.contextvars.bind_contextvars(body_id=body_id)


def for_reply() -> str:
    """Return the id for the reply's body."""
    return str(g.get("body_id") or g.request_id)


def add_header(response: Response) -> Response:
    """Add the id under which the logs have the request."""
    response.headers[HEADER] = g.request_id
    return response
