"""All errors that clients can see, in one tree.

::

    VisionError                 500  a bug, or a reply that could not be made
    ├── BadRequest              400  the request is malformed
    │   ├── UnusableForm        400  no answer can have the form that is asked for
    │   ├── TooFewTokens        400  no answer of that form is as short as the limit of tokens
    │   └── UnusableChat        400  the model cannot be asked this, or not so much
    ├── Unauthorized            401  an API key is required, and the request has none or a wrong one
    ├── Refused                 403  the service does not offer this operation
    ├── NotOffered              404  unknown model, version or task
    ├── TooLarge                413  body, image or image count over a limit
    ├── UnsupportedEncoding     415  the body is compressed in a way that is not understood
    ├── UndecodableImage        422  the bytes are no image in a supported format
    ├── Overloaded              429  too many requests: retry after ``retry_after_s``
    ├── ModelFailed             500  the model failed on this request
    │   └── NothingFound        500  the model looked at the image and has nothing to say
    ├── ImageFetchFailed        502  no image could be fetched from the URL
    ├── OllamaFailed            502  Ollama failed, or its answer is unusable
    ├── ModelUnavailable        503  no worker serves the model, or its load failed
    ├── BrokerUnavailable       503  Redis cannot be reached, does not answer, or refuses
    └── DeadlineExceeded        504  no result within the time allowed

A worker raises one of them, its class name and message travel as JSON, and the API raises it
again. So each takes exactly one argument: the message for the reader of the reply. Its status
travels, too, for an API that is older than the worker and does not know the class.
"""

from http import HTTPStatus


class VisionError(Exception):
    """Base of all errors: a message, the HTTP status of the reply, and its ``Retry-After``."""

    status: HTTPStatus = HTTPStatus.INTERNAL_SERVER_ERROR
    retry_after_s: int | None = None
    host = ""
    """Name of the machine whose worker raised it; empty: the API did."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class BadRequest(VisionError):
    """The request is malformed."""

    status = HTTPStatus.BAD_REQUEST


class UnusableForm(BadRequest):
    """No answer can have the form that is asked for."""


class TooFewTokens(BadRequest):
    """No answer of the form that is asked for is as short as the limit of tokens."""


class UnusableChat(BadRequest):
    """The conversation is too long, lacks an image, or has roles in an order that is not taken."""


class Unauthorized(VisionError):
    """The request lacks a valid API key."""

    status = HTTPStatus.UNAUTHORIZED


class Refused(VisionError):
    """The service does not offer this operation."""

    status = HTTPStatus.FORBIDDEN


class NotOffered(VisionError):
    """The model, its version, or the task on this model does not exist."""

    status = HTTPStatus.NOT_FOUND


class TooLarge(VisionError):
    """The body, an image or the number of images exceeds a limit."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class UnsupportedEncoding(VisionError):
    """The body has a content coding that is not understood."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class UndecodableImage(VisionError):
    """The bytes are not an image that can be decoded."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY


class Overloaded(VisionError):
    """More requests than the service accepts at once; PhotoPrism retries only this status."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    retry_after_s = 5


class ModelFailed(VisionError):
    """The model could not answer this request: it raised, crashed or hung on it."""


class NothingFound(ModelFailed):
    """The model has no answer to any task: no caption that could be used. It is no success."""


class ImageFetchFailed(VisionError):
    """The URL of an image is refused, unreachable or too slow, or has no image."""

    status = HTTPStatus.BAD_GATEWAY


class OllamaFailed(VisionError):
    """Ollama reports an error, or answers nothing usable, not even to a repeated request."""

    status = HTTPStatus.BAD_GATEWAY


class ModelUnavailable(VisionError):
    """No worker serves the model, or the model cannot be loaded."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    retry_after_s = 30


class BrokerUnavailable(VisionError):
    """Redis cannot be reached, does not answer, or refuses, for example because it is full."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    retry_after_s = 5


class DeadlineExceeded(VisionError):
    """The result did not come within the time allowed."""

    status = HTTPStatus.GATEWAY_TIMEOUT


def error_named(
    name: str,
    message: str,
    status: int = VisionError.status,
    retry_after_s: int | None = None,
) -> VisionError:
    """Return an error by the name of its class.

    Args:
        name: of the class; of one that is not known here, the error is a plain
            :class:`VisionError` with the status and the pause that follow.
        message: for the reader of the reply.
        status: the HTTP status of the reply.
        retry_after_s: its ``Retry-After``, if it has one.

    Raises:
        ValueError: the class is not known, and the status is none of HTTP.
    """
    kind = globals().get(name)
    if isinstance(kind, type) and issubclass(kind, VisionError):
        return kind(message)
    error = VisionError(message)
    error.status, error.retry_after_s = HTTPStatus(status), retry_after_s
    return error
