"""Reading what photos are asked for (``internal/form/search_photos.go``, ``serialize.go``)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.photoprism_standin.refusals import BadRequest, Unknown

FLAGS = {
    "primary", "merged", "hidden", "archived", "public", "private", "review", "image", "raw",
    "live", "animated", "vector", "video", "photo",
}  # fmt: skip
TIMES = {"added", "updated", "edited", "taken", "before", "after"}
NUMBERS = {"count", "offset", "quality"}
TEXTS = {"order", "uid", "type", "title", "hash", "label", "favorite", "year", "keywords"}
HERE = FLAGS | TIMES | NUMBERS | TEXTS
NOT_HERE = {
    "s", "filter", "id", "path", "folder", "name", "filename", "original", "stack", "unstacked",
    "stackable", "audio", "document", "scan", "mp", "panorama", "portrait", "landscape", "square",
    "error", "unsorted", "near", "s2", "olc", "lat", "lng", "alt", "dist", "latlng", "camera",
    "lens", "iso", "mm", "f", "color", "chroma", "mono", "diff", "geo", "category", "country",
    "state", "city", "month", "day", "face", "faces", "subject", "person", "subjects", "people",
    "album", "albums",
}  # fmt: skip
"""Filters that PhotoPrism has, and the stand-in has not."""
PARAMETERS_ONLY = {"s", "filter", "count", "offset", "order", "merged"}
"""What may not stand in a query string."""


@dataclass
class Query:
    """Texts, numbers, times and flags by name, and the words that are none of these."""

    filters: dict[str, Any] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)

    @classmethod
    def parse(cls, parameters: Mapping[str, str]) -> "Query":
        """Read the parameters of a request, of which ``q`` may have more filters.

        Raises:
            BadRequest: one is unknown or cannot be read, or there is no ``count``.
            Unknown: the stand-in lacks one.
        """
        query = cls()
        for name, value in parameters.items():
            if name != "q" and name in HERE | NOT_HERE:  # others mean nothing
                query._set(name, value, in_text=False)
        for name, value in _terms(parameters.get("q", "")):
            if name:
                query._set(name, value, in_text=True)
            else:
                query.words.append(value)
        if not query["count"]:
            raise BadRequest
        return query

    def __getitem__(self, name: str) -> Any:
        return self.filters.get(name)

    def _set(self, name: str, value: str, *, in_text: bool) -> None:
        if name not in HERE | NOT_HERE or (in_text and name in PARAMETERS_ONLY):
            raise BadRequest
        if name in NOT_HERE:
            raise Unknown(f"the filter {name}")
        try:
            self.filters[name] = _value(name, value, in_text=in_text)
        except ValueError:
            raise BadRequest from None


def is_true(text: str) -> bool:
    """Return what PhotoPrism takes for yes: whatever is not clearly a no."""
    return bool(text.strip()) and text.strip().lower()[0] not in "0nhufeн"


def _terms(text: str) -> list[tuple[str, str]]:
    """Return the filters of a query string, and its words under the name ''."""
    terms = []
    key = value = ""
    is_filter = is_quoted = False
    for char in text.strip() + "\n":
        if char.isspace() and not is_quoted:
            if is_filter or key:
                terms.append((key, value) if is_filter else ("", key))
            key, value, is_filter = "", "", False
        elif char == ":" and not is_quoted:
            is_filter = True
        elif char == '"':
            is_quoted = not is_quoted
        elif is_filter:
            value += char
        else:
            key += char.lower()
    return terms


def _value(name: str, text: str, *, in_text: bool) -> Any:
    """Return the value of a filter.

    Raises:
        ValueError: it cannot be read.
    """
    if name in NUMBERS:
        return int(text)
    if name in TIMES:
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if name not in FLAGS:
        return text
    if not in_text and text.lower() not in ("1", "t", "true", "0", "f", "false", ""):
        raise ValueError(text)
    return is_true(text)
