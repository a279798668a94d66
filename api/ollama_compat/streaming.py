"""The streamed reply, one JSON object a line."""

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
    """A streamed reply; whatever it holds is given back when the server closes it."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines, self._held = lines, ExitStack()

    def hold(self, held: ExitStack) -> None:
        """Take over what is to be given back at the end."""
        self._held = held

    def __next__(self) -> bytes:
        return next(self._lines)

    def close(self) -> None:
        """End it, also when nothing was read."""
        self._held.close()


def ndjson(parts: Iterable[JsonObject]) -> Iterator[bytes]:
    """Return each object as one line of JSON."""
    for part in parts:
        yield json.dumps(part).encode() + b"\n"


def lines(first: JsonObject, rest: Iterator[JsonObject], request_id: str) -> Iterator[bytes]:
    """Write a streamed reply; what fails on the way becomes its last line."""
    yield from ndjson([first])
    try:
        yield from ndjson(rest)
    except ClientGone:
        log.info("the client hung up", request_id=request_id)
    except VisionError as err:
        log.warning("reply broke off", request_id=request_id, error=err.message)
        yield from ndjson([{"error": err.message}])
