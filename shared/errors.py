"""Every error a client can see, in one tree.

::

    VisionError                 500  a bug, or a reply that could not be made
    ├── BadRequest              400  the request is malformed
    ├── Unauthorized            401  an API key is set, and the request has none or another
    ├── Refused                 403  this service does not do that, and why
    ├── NotOffered              404  unknown model, version or task
    ├── TooLarge                413  body, image or image count over a limit
    ├── UndecodableImage        422  the bytes are no image we can read
    ├── Overloaded              429  too many requests: come back after ``retry_after_s``
    ├── ModelFailed             500  the model process died on this very request
    ├── ImageFetchFailed        502  the image's URL gave no image
    ├── OllamaFailed            502  Ollama failed, or its answer is of no use
    ├── ModelUnavailable        503  no worker serves the model, or its load failed
    ├── BrokerUnavailable       503  Redis does not answer
    └── DeadlineExceeded        504  no result within the time allowed

A worker raises one of them, Celery carries its class name and message as JSON, and the API raises
it again; so each takes exactly one argument, the sentence for the person who reads the reply.
"""

from http import HTTPStatus
from typing import ClassVar


class VisionError(Exception):
    """Root of the tree: a sentence, the HTTP status that goes with it, and when to come back."""

    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR
    retry_after_s: ClassVar[int | None] = None

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class BadRequest(VisionError):
    """The request is malformed."""

    status = HTTPStatus.BAD_REQUEST


class Unauthorized(VisionError):
    """The request lacks a valid API key."""

    status = HTTPStatus.UNAUTHORIZED


class Refused(VisionError):
    """What was asked is somebody else's business."""

    status = HTTPStatus.FORBIDDEN


class NotOffered(VisionError):
    """The model, its version, or the task on this model does not exist."""

    status = HTTPStatus.NOT_FOUND


class TooLarge(VisionError):
    """Body, image or number of images over a limit."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class UndecodableImage(VisionError):
    """The bytes are not an image that can be decoded."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY


class Overloaded(VisionError):
    """More requests than the service takes at once; PhotoPrism retries this status alone."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    retry_after_s = 5


class ModelFailed(VisionError):
    """The model could not answer this request: it raised, crashed or hung on it."""


class ImageFetchFailed(VisionError):
    """The URL of an image was refused, unreachable, too slow, or no image."""

    status = HTTPStatus.BAD_GATEWAY


class OllamaFailed(VisionError):
    """Ollama reports an error, or answers nothing that can be used, also when asked again."""

    status = HTTPStatus.BAD_GATEWAY


class ModelUnavailable(VisionError):
    """No worker serves the model, or the model cannot be loaded."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    retry_after_s = 30


class BrokerUnavailable(VisionError):
    """Redis does not answer or is full."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    retry_after_s = 5


class DeadlineExceeded(VisionError):
    """The result did not come within the time allowed."""

    status = HTTPStatus.GATEWAY_TIMEOUT
