"""Photos and labels as PhotoPrism tells of them; what is not needed is ignored."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

REJECTED = 100
"""Uncertainty of a label that a person took from a photo."""
_CAPTION, _OLD_CAPTION = "Caption", "Description"


class Told(BaseModel):
    """An object in a reply."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Row(Told):
    """A photo in the list."""

    uid: str = Field(alias="UID")
    hash: str = Field("", alias="Hash")
    """SHA1 of the file from which its thumbnails are made."""
    file_name: str = Field("", alias="FileName")
    title: str = Field("", alias="Title")
    deleted_at: str | None = Field(None, alias="DeletedAt")


class File(Told):
    """A file of a photo."""

    hash: str = Field("", alias="Hash")
    is_primary: bool = Field(default=False, alias="Primary")


class Details(Told):
    """What a photo has besides."""

    keywords: str = Field("", alias="Keywords")
    keywords_source: str = Field("", alias="KeywordsSrc")


class LabelName(Told):
    """A label of the library."""

    name: str = Field("", alias="Name")
    slug: str = Field("", alias="Slug")
    custom_slug: str = Field("", alias="CustomSlug")
    """Differs from the slug if the label was renamed."""


class Label(Told):
    """A label of a photo."""

    id: int = Field(alias="LabelID")
    source: str = Field("", alias="LabelSrc")
    uncertainty: int = Field(0, alias="Uncertainty")
    """In percent; :data:`REJECTED`: the photo does not have it."""
    label: LabelName | None = Field(None, alias="Label")

    @property
    def slugs(self) -> set[str]:
        """All by which it may be found."""
        if self.label is None:
            return set()
        return {slug_of(self.label.name), self.label.slug, self.label.custom_slug} - {""}


class Photo(Told):
    """A photo with its labels."""

    uid: str = Field(alias="UID")
    caption: str = Field("", alias=_CAPTION)
    caption_source: str = Field("", alias="CaptionSrc")
    is_private: bool = Field(default=False, alias="Private")
    deleted_at: str | None = Field(None, alias="DeletedAt")
    files: tuple[File, ...] = Field((), alias="Files")
    labels: tuple[Label, ...] = Field((), alias="Labels")
    details: Details = Field(Details(), alias="Details")
    caption_field: str = _CAPTION
    """What PhotoPrism calls captions: ``Description`` until January 2025."""

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Self:
        """Return what a reply tells."""
        filled = {name: value for name, value in told.items() if value is not None}
        if "CaptionSrc" in told or f"{_OLD_CAPTION}Src" not in told:
            return cls.model_validate(filled)
        old = {
            _CAPTION: told.get(_OLD_CAPTION) or "",
            f"{_CAPTION}Src": told[f"{_OLD_CAPTION}Src"] or "",
        }
        return cls.model_validate({**filled, **old, "caption_field": _OLD_CAPTION})

    @property
    def hash(self) -> str:
        """SHA1 of the file from which its thumbnails are made; empty: it has none."""
        return next((file.hash for file in self.files if file.is_primary), "")

    def label(self, slug: str) -> Label | None:
        """Return the label with a slug, rejected or not."""
        return next((label for label in self.labels if slug in label.slugs), None)


def slug_of(name: str) -> str:
    """Return what PhotoPrism finds a label by, or nearly so."""
    plain = "".join(
        character
        for character in unicodedata.normalize("NFKD", name)
        if not unicodedata.combining(character)
    )
    return re.sub(r"[^\w]+|_+", "-", plain.casefold()).strip("-")
