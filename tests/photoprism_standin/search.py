"""Finding photos (``internal/entity/search/photos.go``)."""

import fnmatch
import random
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from tests.photoprism_standin.library import REJECTED, Library
from tests.photoprism_standin.query import Query, is_true
from tests.photoprism_standin.refusals import BadRequest, Unknown
from tests.photoprism_standin.rows import File, Photo
from tests.photoprism_standin.words import slug

MAX_RESULTS = 100_000
_TYPES = ("image", "raw", "live", "animated", "vector", "video")
_ORDERS: Mapping[str, Callable[[Photo], Any]] = {
    "": lambda photo: -photo.id,
    "added": lambda photo: -photo.id,
    "imported": lambda photo: -photo.id,
    "newest": lambda photo: (-photo.taken_at.timestamp(), -photo.id),
    "oldest": lambda photo: (photo.taken_at, -photo.id),
    "title": lambda photo: (photo.title, -photo.id),
    "name": lambda photo: photo.uid,
    "edited": lambda photo: -photo.edited_at.timestamp() if photo.edited_at else 0,
    "updated": lambda photo: -photo.updated_at.timestamp(),
    "random": lambda _: random.random(),  # noqa: S311 - nothing is secret
}
_ORDERS_NOT_HERE = {"archived", "relevance", "duration", "size", "similar"}


def find(library: Library, query: Query) -> list[tuple[Photo, list[File]]]:
    """Return a page of files with their photos; several of one photo together if merged.

    Raises:
        BadRequest: there is no such order.
        Unknown: the stand-in lacks it.
    """
    order = query["order"] or ""
    if order in _ORDERS_NOT_HERE:
        raise Unknown(f"the order {order}")
    if order not in _ORDERS:
        raise BadRequest
    photos = [photo for uid in list(library.photos) if _matches(photo := library.read(uid), query)]
    found = [
        (photo, file)
        for photo in sorted(photos, key=_ORDERS[order])
        for file in photo.files
        if (file.primary or not query["primary"]) and (query["hidden"] or not file.error)
    ]
    first, count = max(query["offset"] or 0, 0), query["count"]
    count = count if 0 < count <= MAX_RESULTS else MAX_RESULTS
    page: list[tuple[Photo, list[File]]] = []
    for photo, file in found[first : first + count]:
        if query["merged"] and page and page[-1][0] is photo:
            page[-1][1].append(file)
        else:
            page.append((photo, [file]))
    return page


def _matches(photo: Photo, query: Query) -> bool:
    tests = (_has_status, _has_type, _is_named, _is_of_time, _is_changed, _has_labels)
    return all(test(photo, query) for test in tests)


def _has_status(photo: Photo, query: Query) -> bool:
    if query["hidden"]:
        return photo.quality == -1 and photo.deleted_at is None
    if query["archived"]:
        return photo.quality > -1 and photo.deleted_at is not None
    if photo.deleted_at or (query["private"] and not photo.private):
        return False
    if query["public"] and not query["private"] and photo.private:
        return False
    if query["review"]:
        return photo.quality < 3
    return bool(query["private"]) or not query["quality"] or photo.quality >= query["quality"]


def _has_type(photo: Photo, query: Query) -> bool:
    if wanted := query["type"]:
        return photo.type in _either(wanted)
    for name in _TYPES:
        if query[name]:
            return photo.type == name
    return photo.type != "video" or not query["photo"]


def _is_named(photo: Photo, query: Query) -> bool:
    if (uids := query["uid"]) and photo.uid not in _either(uids):
        return False
    if (hashes := query["hash"]) and not {file.hash for file in photo.files} & {*_either(hashes)}:
        return False
    if (title := query["title"]) and not any(
        fnmatch.fnmatch(photo.title.lower(), name.strip()) for name in title.lower().split("|")
    ):
        return False
    favorite = query["favorite"]
    return not favorite or photo.favorite == is_true(favorite)


def _is_of_time(photo: Photo, query: Query) -> bool:
    if (years := query["year"]) and str(photo.taken_at.year) not in _either(years):
        return False
    if (taken := query["taken"]) and photo.taken_at.date() != taken.date():
        return False
    if (before := query["before"]) and photo.taken_at > _day(before):
        return False
    return not (after := query["after"]) or photo.taken_at >= _day(after)


def _is_changed(photo: Photo, query: Query) -> bool:
    if query["order"] == "updated" and photo.updated_at <= photo.created_at:
        return False
    if query["order"] == "edited" and photo.edited_at is None:
        return False
    times = (
        (photo.created_at, "added"),
        (photo.updated_at, "updated"),
        (photo.edited_at, "edited"),
    )
    return all(moment and moment >= query[name] for moment, name in times if query[name])


def _has_labels(photo: Photo, query: Query) -> bool:
    labels = [label for row, label in photo.labels if row.uncertainty < REJECTED]
    if wanted := query["label"]:
        keys = [slug(name) for name in wanted.split("|")]
        if not any(label.has_slug(key) for label in labels for key in keys):
            return False
    words = [*query.words, *re.split(r"[|&\s]+", query["keywords"] or "")]
    words = [word.lower() for word in words if word]
    known = re.split(r"[^\w-]+", f"{photo.keywords} {photo.title} {photo.caption}".lower())
    known += [label.slug for label in labels]
    return not words or any(key.startswith(word) for key in known for word in words)


def _day(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _either(text: str) -> list[str]:
    return [part.strip() for part in text.lower().strip("|").split("|")]
