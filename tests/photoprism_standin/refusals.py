"""Answers that are errors, with the bodies that PhotoPrism gives them."""

from http import HTTPStatus
from typing import Any

BAD_REQUEST = "Unable to do that"
SAVE_FAILED = "Changes could not be saved"
UNAUTHORIZED = "Please log in to your account"
FORBIDDEN = "Permission denied"
NOT_FOUND = "Not found"
ENTITY_NOT_FOUND = "Entity not found"
LABEL_NOT_FOUND = "Label not found"
INVALID_NAME = "Invalid name"
INVALID_CREDENTIALS = "Invalid credentials"
RATE_LIMIT = "rate limit exceeded"


class Refused(Exception):
    """The request ends with an error."""

    def __init__(self, status: HTTPStatus, error: str) -> None:
        super().__init__(error)
        self.status = status
        self.body: dict[str, Any] = {"code": int(status), "error": error}


class BadRequest(Refused):
    def __init__(self) -> None:
        super().__init__(HTTPStatus.BAD_REQUEST, BAD_REQUEST)


class Unknown(Refused):
    """The stand-in lacks what PhotoPrism has, and says so instead of answering wrongly."""

    def __init__(self, what: str) -> None:
        super().__init__(HTTPStatus.NOT_IMPLEMENTED, f"the stand-in does not have {what}")


def bare(status: HTTPStatus, error: str) -> Refused:
    """Return an error whose body has no code, as some have."""
    refused = Refused(status, error)
    del refused.body["code"]
    return refused
