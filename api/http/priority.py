"""The header ``X-Priority``: whether a person waits for the answer, or bulk work."""

from flask import Request

from api.http.openapi import request_header
from shared.errors import BadRequest
from shared.vocabulary import Priority

HEADER = "X-Priority"
takes_priority = request_header(
    HEADER,
    {
        "type": "string",
        "enum": [*Priority],
        "default": Priority.PERSON,
        "description": "who waits for the answer: persons are answered before bulk work",
    },
)
"""Notes the header at a documented view."""


def priority_of(request: Request) -> Priority:
    """Return who waits for the answer; without the header, a person.

    Raises:
        BadRequest: the header has another value.
    """
    given = request.headers.get(HEADER, Priority.PERSON).strip().lower()
    try:
        return Priority(given)
    except ValueError:
        words = " nor ".join(f"`{each}`" for each in Priority)
        raise BadRequest(f"`{HEADER}` is neither {words}.") from None
