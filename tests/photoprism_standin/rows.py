"""The rows of the library, and how they look as JSON (``internal/entity``)."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.photoprism_standin.sources import Api


@dataclass
class File:
    """A file of a photo; ``error`` and ``on_disk`` spoil its thumbnails."""

    uid: str
    hash: str
    side: int
    primary: bool = True
    media_type: str = "image"
    error: str = ""
    on_disk: bool = True

    @classmethod
    def of(cls, number: int, side: int, serial: int = 0, **fields: Any) -> "File":
        """Return the file with this serial number of the photo with that number."""
        digest = hashlib.sha1(f"{number} {serial}".encode(), usedforsecurity=False).hexdigest()
        return cls(f"fsg6sg6{serial:02}{number:07}", digest, side, primary=not serial, **fields)


@dataclass
class Label:
    id: int
    name: str
    slug: str
    custom_slug: str
    priority: int = 0
    deleted: bool = False

    def has_slug(self, slug: str) -> bool:
        return slug in (self.slug, self.custom_slug)


@dataclass
class PhotoLabel:
    """That a photo has a label, or with an uncertainty of 100 that it must not have it."""

    photo_id: int
    label_id: int
    source: str
    uncertainty: int


@dataclass
class Photo:
    """A photo; times are UTC."""

    id: int
    uid: str
    taken_at: datetime
    created_at: datetime
    updated_at: datetime
    files: list[File]
    type: str = "image"
    title: str = ""
    title_src: str = ""
    caption: str = ""
    caption_src: str = ""
    keywords: str = ""
    keywords_src: str = ""
    taken_src: str = "meta"
    favorite: bool = False
    private: bool = False
    megapixels: int = 2
    quality: int = 3
    edited_at: datetime | None = None
    deleted_at: datetime | None = None
    labels: list[tuple[PhotoLabel, Label]] = field(default_factory=list)
    """Joined when the photo is read; not stored with it."""

    @property
    def number(self) -> int:
        """Which picture it shows."""
        return self.id - 1


def caption_fields(api: Api) -> tuple[str, str]:
    """Return what the fields of the caption and of its source are called."""
    return ("Description", "DescriptionSrc") if api == "2024" else ("Caption", "CaptionSrc")


def photo_json(photo: Photo, api: Api) -> dict[str, Any]:
    """Return a photo as ``GET /photos/:uid`` answers, without what is the same for all."""
    caption, caption_src = caption_fields(api)
    return {
        **_shared_json(photo, api),
        "ID": photo.id,
        "TitleSrc": photo.title_src,
        caption: photo.caption,
        caption_src: photo.caption_src,
        "Details": {
            "PhotoID": photo.id,
            "Keywords": photo.keywords,
            "KeywordsSrc": photo.keywords_src,
        },
        "Albums": [],
        "Files": [_file_json(file, photo) for file in photo.files],
        "Labels": [_photo_label_json(row, label, api) for row, label in photo.labels],
        "EditedAt": _time(photo.edited_at) if photo.edited_at else None,
    }


def row_json(photo: Photo, files: list[File], *, merged: bool, api: Api) -> dict[str, Any]:
    """Return a photo as ``GET /photos`` lists it, with the first of its files and perhaps all."""
    first = files[0]
    return {
        **_shared_json(photo, api),
        "ID": f"{photo.id}-{first.uid}" if merged else str(photo.id),
        caption_fields(api)[0]: photo.caption,
        "FileUID": first.uid,
        "Hash": first.hash,
        "Width": first.side,
        "Height": first.side,
        "Portrait": False,
        "Merged": len(files) > 1,
        "EditedAt": _time(photo.edited_at) if photo.edited_at else "0001-01-01T00:00:00Z",
        "Files": [_file_json(file, photo) for file in files] if merged else None,
    }


def _shared_json(photo: Photo, api: Api) -> dict[str, Any]:
    taken = _time(photo.taken_at)
    fields = {
        "UID": photo.uid,
        "Type": photo.type,
        "TypeSrc": "",
        "TakenAt": taken,
        "TakenAtLocal": taken,
        "TakenSrc": photo.taken_src,
        "TimeZone": "UTC",
        "Title": photo.title,
        "Year": photo.taken_at.year,
        "Month": photo.taken_at.month,
        "Day": photo.taken_at.day,
        "Favorite": photo.favorite,
        "Private": photo.private,
        "Quality": photo.quality,
        "Resolution": photo.megapixels,
        "CreatedAt": _time(photo.created_at),
        "UpdatedAt": _time(photo.updated_at),
    }
    return fields | ({"DeletedAt": _time(photo.deleted_at)} if photo.deleted_at else {})


def _file_json(file: File, photo: Photo) -> dict[str, Any]:
    fields = {
        "UID": file.uid,
        "PhotoUID": photo.uid,
        "Name": f"{photo.taken_at.year}/{file.uid}.jpg",
        "Root": "/",
        "Hash": file.hash,
        "Primary": file.primary,
        "MediaType": file.media_type,
        "FileType": "jpg",
        "Mime": "image/jpeg",
        "Width": file.side,
        "Height": file.side,
    }
    return fields | ({"Error": file.error} if file.error else {})


def _photo_label_json(row: PhotoLabel, label: Label, api: Api) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "PhotoID": row.photo_id,
        "LabelID": row.label_id,
        "LabelSrc": row.source,
        "Uncertainty": row.uncertainty,
        "Label": {
            "ID": label.id,
            "UID": f"lsg6sg6{label.id:09}",
            "Slug": label.slug,
            "CustomSlug": label.custom_slug,
            "Name": label.name,
            "Priority": label.priority,
            "Favorite": False,
        },
    }
    return {"Photo": None, **fields} if api == "2024" else {**fields, "Topicality": 0}


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
