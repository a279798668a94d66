"""The body of the reply to an error, in the form that the doors of its path have."""

from api.openai_compat import OPENAI_BASE
from api.openai_compat.errors import error_reply
from api.schemas import ErrorReply
from shared.errors import NothingFound


def error_body(path: str, err: Exception, status: int, message: str, request_id: str) -> str:
    """Return the body, as JSON.

    Args:
        path: of the request, as far as it is known.
        err: what was raised.
        status: the HTTP status of the reply.
        message: what is wrong, in one sentence.
        request_id: the id of the request, where the form has one.
    """
    if path.startswith(OPENAI_BASE):
        return error_reply(err, status, message)
    kind = NothingFound.__name__ if isinstance(err, NothingFound) else None
    reply = ErrorReply(id=request_id, code=status, error=message, kind=kind)
    return reply.model_dump_json(exclude_none=True)
