"""Messages that are made without uvicorn and Flask."""

import uuid
from collections.abc import Iterable
from http import HTTPStatus

from werkzeug.exceptions import HTTPException

from api.http import error_forms


def error_body(status: HTTPStatus, message: str, url: bytes) -> bytes:
    """Return an error as JSON.

    Args:
        status: the status.
        message: what is wrong, in one sentence.
        url: of the request, as far as it is known.
    """
    path, request_id = url.decode("latin-1"), str(uuid.uuid4())
    return error_forms.error_body(path, HTTPException(), status, message, request_id).encode()


def error_message(status: HTTPStatus, message: str, url: bytes) -> bytes:
    """Return an error as a whole message, after which the connection is closed.

    Args:
        status: as of :func:`error_body`.
        message: likewise.
        url: likewise.
    """
    body = error_body(status, message, url)
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


def header_without_upgrade(
    method: bytes, url: bytes, version: str, fields: Iterable[tuple[bytes, bytes]]
) -> bytes:
    """Return the header of a request without its wish for another protocol.

    Our parser expects no body after such a wish, and Java's client sends both.

    Args:
        method: of the request.
        url: likewise.
        version: of HTTP, without its name; it decides whether the connection is kept.
        fields: of the header, their names in lower case.
    """
    start = b"%s %s HTTP/%s" % (method, url, version.encode())
    kept = [b"%s: %s" % field for field in fields if field[0] != b"upgrade"]
    return b"\r\n".join([start, *kept, b"", b""])
