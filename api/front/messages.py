"""Messages that are made without uvicorn and Flask."""

import uuid
from collections.abc import Iterable
from http import HTTPStatus

from api.schemas import ErrorReply


def error_body(status: HTTPStatus, message: str) -> bytes:
    """Return an error as JSON, as ``api/http/error_handlers.py`` has it."""
    reply = ErrorReply(id=str(uuid.uuid4()), code=status, error=message)
    return reply.model_dump_json(exclude_none=True).encode()


def error_message(status: HTTPStatus, message: str) -> bytes:
    """Return an error as a whole message, after which the connection is closed."""
    body = error_body(status, message)
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


def header_without_upgrade(
    method: bytes, url: bytes, fields: Iterable[tuple[bytes, bytes]]
) -> bytes:
    """Return the header of a request without its wish for another protocol.

    Our parser expects no body after such a wish, and Java's client sends both.
    """
    kept = [b"%s: %s" % field for field in fields if field[0] != b"upgrade"]
    return b"\r\n".join([b"%s %s HTTP/1.1" % (method, url), *kept, b"", b""])
