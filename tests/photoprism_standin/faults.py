"""What a test can have go wrong, of PhotoPrism itself or of a proxy before it."""

from http import HTTPStatus

from pydantic import BaseModel, ConfigDict


class Faults(BaseModel):
    """``fail_next`` of the next requests fail, or all of them with -1."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    fail_next: int = 0
    fail_status: HTTPStatus = HTTPStatus.SERVICE_UNAVAILABLE
    """The answer is a page of a proxy, since PhotoPrism answers no photo with 429, 502 or 503."""
    fail_path: str = ""
    """Only requests with this in their path fail, such as ``/t/``."""
    retry_after: str | None = None
    thumbnail_s: float = 0.0
    """Seconds that each thumbnail takes."""
