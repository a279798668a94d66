"""Replies that are made without Flask."""

import uuid
from http import HTTPStatus

from api.schemas import ErrorReply


def error_body(status: HTTPStatus, message: str) -> bytes:
    """Return an error as JSON, as ``api/http/error_handlers.py`` has it."""
    reply = ErrorReply(id=str(uuid.uuid4()), code=status, error=message)
    return reply.model_dump_json().encode()


def error_message(status: HTTPStatus, message: str) -> bytes:
    """Return an error as a whole message, after which the connection is closed."""
    body = error_body(status, message)
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
