"""Newline-delimited JSON, one object per line: how Ollama streams a reply."""

import json
from collections.abc import Iterable, Iterator
from itertools import chain

from api.answering.streaming import StreamedReply, ended_in_words
from shared.errors import VisionError
from shared.messages import JsonObject

NDJSON = "application/x-ndjson"


def streamed(
    first: JsonObject, rest: Iterable[JsonObject], request_id: str, reply_id: str
) -> StreamedReply:
    """Return a streamed reply; an error becomes its last line.

    Args:
        first: the first part, already received.
        rest: the other parts.
        request_id: for the log.
        reply_id: for the line with an error.
    """

    def end(err: VisionError) -> Iterator[bytes]:
        return _lines([{"error": err.message, "id": reply_id}])

    return StreamedReply(ended_in_words(_lines(chain([first], rest)), request_id, end), NDJSON)


def _lines(parts: Iterable[JsonObject]) -> Iterator[bytes]:
    for part in parts:
        yield json.dumps(part).encode() + b"\n"
