"""What errors of a service mean for a run: whose fault each is, and whether asking again helps."""

from enum import Enum
from http import HTTPStatus

from vision.service import ServiceError

NOTHING_FOUND = "NothingFound"
"""Kind of the error of a model that looked at a photo and found no caption for it."""


class Refusal(Enum):
    """What an error means."""

    NOTHING_FOUND = "the model has nothing to say about the photo, which is an answer"
    FULL = "the service is full"
    LATE = "it was too busy, or had too little time for this photo: it does not say which"
    AWAY = "nobody answers, or something else in the service's place"
    FAILED = "the model failed, perhaps for the photos beside this one"
    FOR_ALL = "it is the same for every photo"
    FOR_PHOTO = "this photo cannot be used"

    @property
    def passes(self) -> bool:
        """Whether the same question may be answered later."""
        return self in (Refusal.FULL, Refusal.LATE, Refusal.AWAY, Refusal.FAILED)


_OF_SERVICE: dict[int, Refusal] = {
    HTTPStatus.TOO_MANY_REQUESTS: Refusal.FULL,
    HTTPStatus.REQUEST_TIMEOUT: Refusal.LATE,
    HTTPStatus.GATEWAY_TIMEOUT: Refusal.LATE,
    HTTPStatus.SERVICE_UNAVAILABLE: Refusal.AWAY,
    HTTPStatus.INTERNAL_SERVER_ERROR: Refusal.FAILED,
    HTTPStatus.BAD_GATEWAY: Refusal.FAILED,
    HTTPStatus.UNAUTHORIZED: Refusal.FOR_ALL,
    HTTPStatus.FORBIDDEN: Refusal.FOR_ALL,
    HTTPStatus.NOT_FOUND: Refusal.FOR_ALL,
}
_OF_PROXY: dict[int, Refusal] = {
    HTTPStatus.UNAUTHORIZED: Refusal.FOR_ALL,
    HTTPStatus.FORBIDDEN: Refusal.FOR_ALL,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: Refusal.FOR_PHOTO,
}
"""Whatever else a proxy says, it may say so because the service is away: some say 404."""


def meaning_of(err: ServiceError) -> Refusal:
    """Return what an error means."""
    if err.kind == NOTHING_FOUND:
        return Refusal.NOTHING_FOUND
    if err.is_of_service:
        return _OF_SERVICE.get(err.status, Refusal.FOR_PHOTO)
    return _OF_PROXY.get(err.status, Refusal.AWAY)
