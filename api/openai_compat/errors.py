"""Errors in the form of OpenAI's API."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus

from pydantic import BaseModel, Field
from werkzeug.exceptions import NotFound

from shared import errors
from shared.errors import BadRequest

INVALID, LIMITED, FAILED = "invalid_request_error", "rate_limit_error", "server_error"
_CODES: dict[type[Exception], str] = {
    errors.Unauthorized: "invalid_api_key",
    errors.NotOffered: "model_not_found",
    errors.TooLarge: "request_too_large",
    errors.UndecodableImage: "invalid_image",
    errors.ImageFetchFailed: "failed_to_download_image",
    errors.Overloaded: "rate_limit_exceeded",
    errors.ModelUnavailable: "model_unavailable",
    errors.DeadlineExceeded: "timeout",
    NotFound: "unknown_url",
}
"""Words of OpenAI's API where it has one for such an error; other errors have none."""


class InvalidParameter(BadRequest):
    """A field of a request in OpenAI's form is not valid; the reply names it."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


FieldsByFault = Mapping[type[BadRequest], str]
"""The fields of a call, each by the error for what is wrong in it, by whichever door it came."""


@contextmanager
def naming(fields: FieldsByFault) -> Iterator[None]:
    """Have errors name the field of a call that is at fault.

    Raises:
        InvalidParameter: in place of each error that ``fields`` has.
    """
    try:
        yield
    except tuple(fields) as err:
        named = InvalidParameter(err.message, fields[type(err)])
        named.host = err.host
        raise named from err


class ErrorBody(BaseModel):
    """What went wrong."""

    message: str = Field(description="what went wrong, in one sentence")
    type: str = Field(description=f"`{INVALID}`, `{LIMITED}` or `{FAILED}`")
    param: str | None = Field(description="the field that is at fault")
    code: str | None = Field(description="a word for the kind of fault")


class OpenAiError(BaseModel):
    """The reply to a request that failed."""

    error: ErrorBody


def error_body(error: Exception, status: int, message: str) -> ErrorBody:
    """Return an error in OpenAI's form.

    Args:
        error: what was raised.
        status: the HTTP status of the reply.
        message: the sentence for the reader of the reply.
    """
    kind = FAILED if status >= HTTPStatus.INTERNAL_SERVER_ERROR else INVALID
    return ErrorBody(
        message=message,
        type=LIMITED if status == HTTPStatus.TOO_MANY_REQUESTS else kind,
        param=getattr(error, "param", None),
        code=next((code for known, code in _CODES.items() if isinstance(error, known)), None),
    )


def error_reply(error: Exception, status: int, message: str) -> str:
    """Return the body of the reply to a request that failed, as JSON."""
    return OpenAiError(error=error_body(error, status, message)).model_dump_json()
