"""What a test can have go wrong, of PhotoPrism itself or of a proxy before it."""

from http import HTTPStatus

from pydantic import BaseModel, ConfigDict


class Faults(BaseModel):
    """Faults named ``…_next`` happen to that many of the next requests; -1: to all."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    fail_next: int = 0
    """Requests that do not reach PhotoPrism."""
    fail_status: HTTPStatus = HTTPStatus.SERVICE_UNAVAILABLE
    """The answer is a page of a proxy, since PhotoPrism answers no photo with 429, 502 or 503."""
    fail_path: str = ""
    """Only those with this in their path fail, such as ``/t/``."""
    retry_after: str | None = None
    lose_next: int = 0
    """Changes of photos that are made, but whose answer gets lost."""
    thumbnail_s: float = 0.0
    """Seconds that each thumbnail takes."""
