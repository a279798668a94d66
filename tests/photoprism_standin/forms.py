"""What ``PUT /photos/:uid`` may change (``internal/form/photo.go``)."""

from collections.abc import Mapping
from typing import Any, TypeVar

from tests.photoprism_standin.refusals import BadRequest
from tests.photoprism_standin.rows import Photo, caption_fields
from tests.photoprism_standin.sources import Api

_FIELDS = {
    "Title": "title", "TitleSrc": "title_src", "TakenSrc": "taken_src", "Type": "type",
    "Favorite": "favorite", "Private": "private",
}  # fmt: skip
_DETAILS = {"Keywords": "keywords", "KeywordsSrc": "keywords_src"}


T = TypeVar("T")


def typed(body: Mapping[str, Any], name: str, default: T) -> T:
    """Return a field of the default's type; as in Go, ``null`` is as good as none.

    Raises:
        BadRequest: it has another type.
    """
    value = body.get(name)
    if value is None:
        return default
    if type(value) is not type(default):
        raise BadRequest
    return value


def assign_form(photo: Photo, body: Mapping[str, Any], api: Api) -> None:
    """Take over the fields of a request; those that the form does not have mean nothing.

    Raises:
        BadRequest: one has another type.
    """
    caption, source = caption_fields(api)
    _assign(photo, _FIELDS | {caption: "caption", source: "caption_src"}, body)
    if api != "2024" and not photo.caption and body.get("Description"):
        # The names until February 2025, which still count for want of a caption.
        old = {"Description": "caption", "DescriptionSrc": "caption_src"}
        _assign(photo, old, {"DescriptionSrc": "", **body})
    details: Mapping[str, Any] = typed(body, "Details", {})
    if details.get("PhotoID") == photo.id:
        _assign(photo, _DETAILS, details)


def _assign(photo: Photo, names: Mapping[str, str], body: Mapping[str, Any]) -> None:
    for name, attribute in names.items():
        setattr(photo, attribute, typed(body, name, getattr(photo, attribute)))
