"""Streamed replies: what they hold while they are sent, and how they end after an error."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack

import structlog
from flask import Response

from api.http.client_connection import ClientGone
from shared.errors import VisionError

log = structlog.get_logger(__name__)


class StreamedReply(Iterator[bytes]):
    """The parts of a streamed reply, and the resources that it holds until it is closed."""

    def __init__(self, parts: Iterator[bytes], media_type: str) -> None:
        self._parts, self._resources = parts, ExitStack()
        self.media_type = media_type

    def hold(self, resources: ExitStack) -> None:
        """Release these resources when the reply is closed."""
        self._resources = resources

    def __next__(self) -> bytes:
        return next(self._parts)

    def close(self) -> None:
        """Release the resources; the server calls this even if it read no part."""
        self._resources.close()


Reply = Response | StreamedReply


def run(view: Callable[[ExitStack], Reply]) -> Response:
    """Run a view; what it opens, a streamed reply holds until it is closed."""
    with ExitStack() as resources:
        reply = view(resources)
        if isinstance(reply, Response):
            return reply
        reply.hold(resources.pop_all())
        return Response(reply, mimetype=reply.media_type)


def ended_in_words(
    parts: Iterator[bytes], request_id: str, end: Callable[[VisionError], Iterable[bytes]]
) -> Iterator[bytes]:
    """Yield the parts of a reply that has begun; after an error, those that say so.

    Args:
        parts: of the reply.
        request_id: for the log: the request's context has ended when the parts are read.
        end: makes the last parts from the error.
    """
    try:
        yield from parts
    except ClientGone:
        log.info("client closed the connection", request_id=request_id)
    except VisionError as err:
        log.warning("streamed reply failed", request_id=request_id, error=err.message)
        yield from end(err)
