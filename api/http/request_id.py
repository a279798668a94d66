"""Request ids: one for logs and the header ``X-Request-ID``, and one that the reply's body repeats.

They are the same unless the client sends two different ones. The header's id names the request in
our logs; the body's ``id`` is returned unchanged in the reply's body, and the API's log line has
both. A refused request gets its ``id`` back too, if it can be had cheaply.
"""

import json
import re
import uuid

import structlog
from flask import Request, Response, g, request
from werkzeug.exceptions import HTTPException

from api.http.client_connection import IS_UNREAD
from api.schemas import ID_PATTERN

HEADER = "X-Request-ID"
MAX_BODY_BYTES = 256 * 1024
"""Bodies of refused requests are read for their ``id`` up to this size: a thumbnail in base64."""


def assign() -> None:
    """Take the id of header or query, or make one, and bind it to this thread's log lines."""
    header = request.headers.get(HEADER, "")
    g.id_from_header = bool(re.fullmatch(ID_PATTERN, header))
    g.request_id = header if g.id_from_header else str(uuid.uuid4())
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)
    adopt(request.args.get("id"))


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


def body_is_read() -> None:
    """Note that the body is being read, so that it is not read once more for its ``id``."""
    g.body_is_read = True


def find() -> None:
    """Adopt the ``id`` in the small body of a request that is refused before that was looked at."""
    if "body_is_read" in g or IS_UNREAD in request.environ:
        return
    body_is_read()
    if 0 < (request.content_length or 0) <= MAX_BODY_BYTES:
        adopt(_id_in_body(request))


def _id_in_body(request: Request) -> object:
    try:
        if request.mimetype == "multipart/form-data":
            return request.form.get("id")
        data = request.get_data()
        if request.mimetype == "application/x-www-form-urlencoded" and data.lstrip()[:1] != b"{":
            return request.form.get("id")
        body = json.loads(data)
    except (HTTPException, ValueError, RecursionError):  # it has none that could be returned
        return None
    return body.get("id") if isinstance(body, dict) else None


def for_reply() -> str:
    """Return the id for the reply's body."""
    return str(g.get("body_id") or g.request_id)


def add_header(response: Response) -> Response:
    """Add the id under which the logs have the request."""
    response.headers[HEADER] = g.request_id
    return response
