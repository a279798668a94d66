"""Streamed replies: newline-delimited JSON, one object per line."""

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack

import structlog

from api.http.client_connection import ClientGone
from shared.errors import VisionError
from shared.messages import JsonObject

log = structlog.get_logger(__name__)

NDJSON = "application/x-ndjson"


class StreamedReply(Iterator[bytes]):
    """The lines of a streamed reply, and the resources that it holds until it is closed."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines, self._resources = lines, ExitStack()

    def hold(self, resources: ExitStack) -> None:
        """Release these resources when the reply is closed."""
        self._resources = resources

    def __next__(self) -> bytes:
        return next(self._lines)

    def close(self) -> None:
        """Release the resources; the server calls this even if it read no line."""
        self._resources.close()


def ndjson(parts: Iterable[JsonObject]) -> Iterator[bytes]:
    """Return each object as one line of JSON."""
    for part in parts:
        yield json.dumps(part).encode() + b"\n"


def reply_lines(
    first: JsonObject, rest: Iterator[JsonObject], request_id: str, reply_id: str
) -> Iterator[bytes]:
    """Return the parts of a reply as lines; an error becomes the last line.

    Args:
        first: the first part, already received.
        rest: the other parts.
        request_id: for the log: the request's context has ended when the lines are read.
        reply_id: for the line with an error.
    """
    yield from ndjson([first])
    try:
        yield from ndjson(rest)
    except ClientGone:
        log.info("client closed the connection", request_id=request_id)
    except VisionError as err:
        log.warning("streamed reply failed", request_id=request_id, error=err.message)
        yield from ndjson([{"error": err.message, "id": reply_id}])
