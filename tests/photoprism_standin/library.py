"""The library, and what saving a photo or a label does (``photo.go``, ``photo_label.go``).

As in the source, a change is read, made and saved as a whole row without a lock around it: of two
changes to one photo at the same time, one may be lost, and nothing tells. No source keeps another
from being overwritten.
"""

import copy
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

from tests.photoprism_standin.forms import assign_form, typed
from tests.photoprism_standin.refusals import (
    ENTITY_NOT_FOUND,
    INVALID_NAME,
    LABEL_NOT_FOUND,
    SAVE_FAILED,
    BadRequest,
    Refused,
    Unknown,
    bare,
)
from tests.photoprism_standin.rows import File, Label, Photo, PhotoLabel
from tests.photoprism_standin.sources import Api, priority
from tests.photoprism_standin.words import keywords, slug, titled

FIRST_TAKEN = datetime(2020, 1, 1, 12, tzinfo=UTC)
REJECTED = 100
"""The uncertainty of a label that the photo must not have."""


class Library:
    """Photos and labels in memory; attributes are the stored rows, which tests may change."""

    def __init__(self, count: int, side: int, api: Api) -> None:
        self.api = api
        self.photos: dict[str, Photo] = {}
        self.labels: list[Label] = []
        self.rows: defaultdict[int, dict[int, PhotoLabel]] = defaultdict(dict)
        """ID of a photo → ID of a label → what the photo has to do with it."""
        self.before_save: dict[str, Callable[[], object]] = {}
        """UID → what is called once, when a change to this photo is made and not yet saved."""
        self._lock = threading.RLock()
        for number in range(count):
            self._add(number, side)

    def _add(self, number: int, side: int) -> None:
        uid = f"psg6sg6{number:09}"
        taken, now = FIRST_TAKEN + timedelta(hours=number), _now()
        files = [File.of(number, side)]
        self.photos[uid] = Photo(
            number + 1, uid, taken, now, now, files, title=uid, title_src="name"
        )

    def read(self, uid: str) -> Photo:
        """Return a copy of a photo, with its labels."""
        with self._lock:
            if uid not in self.photos:
                raise Refused(HTTPStatus.NOT_FOUND, ENTITY_NOT_FOUND)
            photo = copy.copy(self.photos[uid])
            mine = sorted(
                self.rows[photo.id].values(), key=lambda row: (row.uncertainty, -row.label_id)
            )
            photo.labels = [(copy.copy(row), self.labels[row.label_id - 1]) for row in mine]
            return photo

    def update(self, uid: str, body: Mapping[str, Any]) -> Photo:
        """Change a photo as ``PUT /photos/:uid`` does (``SavePhotoForm``), and return it."""
        photo = self.read(uid)
        self.before_save.pop(uid, _nothing)()
        assign_form(photo, body, self.api)
        if priority(self.api, photo.title_src) >= priority(self.api, "name"):
            self._derive_labels(photo, photo.title, "title", 10)
        rank = priority(self.api, photo.caption_src)
        if self.api != "2024" and rank >= priority(self.api, "image"):
            certain = rank >= priority(self.api, "meta")
            self._derive_labels(photo, photo.caption, "caption", 15 if certain else 20)
        self._derive_labels(photo, photo.keywords, "keyword", 25)
        photo.edited_at = _now()
        self._save(photo)
        return self.read(uid)

    def add_label(self, uid: str, name: str, uncertainty: int = 0, rank: int = 0) -> Photo:
        """Add a label, also one that was rejected; the source is ``manual``, whoever adds it."""
        photo = self.read(uid)
        if self.api != "2024" and not slug(name):
            raise Refused(HTTPStatus.BAD_REQUEST, INVALID_NAME)
        label = self._label(titled(name[:160]) or "Unknown", rank)
        label.deleted = False
        with self._lock:
            new = PhotoLabel(photo.id, label.id, "manual", uncertainty)
            row = self.rows[photo.id].setdefault(label.id, new)
            if row.uncertainty > uncertainty:
                row.uncertainty, row.source = uncertainty, "manual"
        return self._save_labels(uid)

    def change_label(self, uid: str, label_id: str, body: Mapping[str, Any]) -> Photo:
        """Change a label of a photo; since 2026, its source cannot be chosen any more."""
        row = self._photo_label(uid, label_id)
        if "Label" in body:
            raise Unknown("the renaming of labels, for all photos that have them")
        uncertainty = typed(body, "Uncertainty", row.uncertainty)
        if self.api == "2024":
            row.source = typed(body, "LabelSrc", row.source)
        elif not 0 <= uncertainty <= REJECTED:
            raise BadRequest
        elif body.get("Uncertainty") == 0:
            row.source = "manual"
        row.uncertainty = uncertainty
        return self._save_labels(uid)

    def remove_label(self, uid: str, label_id: str) -> Photo:
        """Take a label from a photo: people's own vanishes, one of another source is rejected."""
        row = self._photo_label(uid, label_id)
        own = (
            {"manual", "title", "subject", "keyword"} if self.api == "2024" else {"manual", "batch"}
        )
        if row.source in own:
            # Since 2026, what was rejected stays rejected.
            if self.api == "2024" or row.uncertainty < REJECTED:
                del self.rows[row.photo_id][row.label_id]
        else:
            row.uncertainty = REJECTED
            row.source = row.source if self.api == "2024" else "manual"
        words = keywords(self.labels[row.label_id - 1].name)
        return self._save_labels(uid, without=words)

    def find_label(self, name: str) -> Label | None:
        """Return the label with this name, if there is one that was not deleted."""
        key = slug(name)
        return next((row for row in self.labels if row.has_slug(key) and not row.deleted), None)

    def _label(self, name: str, rank: int) -> Label:
        """Return the label with this name, which is new or may have been deleted."""
        key = slug(name)
        with self._lock:
            for label in self.labels:
                if label.has_slug(key):
                    return label
            self.labels.append(Label(len(self.labels) + 1, name, key, key, rank))
            return self.labels[-1]

    def _photo_label(self, uid: str, label_id: str) -> PhotoLabel:
        photo = self.read(uid)
        row = self.rows[photo.id].get(int(label_id) if label_id.isdecimal() else 0)
        if row is not None:
            return row
        if self.api == "2024":
            raise bare(HTTPStatus.NOT_FOUND, "Record not found")
        raise Refused(HTTPStatus.NOT_FOUND, LABEL_NOT_FOUND)

    def _derive_labels(self, photo: Photo, text: str, source: str, uncertainty: int) -> None:
        """Give a photo the known labels that a text names, and take others of this source."""
        if not text:
            return
        found = {label.id for word in keywords(text) if (label := self.find_label(word))}
        with self._lock:
            rows = self.rows[photo.id]
            for label_id in found - rows.keys():
                rows[label_id] = PhotoLabel(photo.id, label_id, source, uncertainty)
            for label_id, row in list(rows.items()):
                if row.source == source and label_id not in found:
                    del rows[label_id]

    def _save_labels(self, uid: str, without: AbstractSet[str] = frozenset()) -> Photo:
        """Save a photo after its labels have changed, as a whole (``SaveLabels``)."""
        photo = self.read(uid)
        self.before_save.pop(uid, _nothing)()
        words = keywords(photo.keywords) - without
        if self.api == "2024":
            for row, label in photo.labels:
                if row.uncertainty < REJECTED and row.source not in ("title", "subject", "keyword"):
                    words |= keywords(label.name)
        photo.keywords = ", ".join(sorted(words))
        self._save(photo)
        return self.read(uid)

    def _save(self, photo: Photo) -> None:
        """Write all columns of a photo."""
        self._name(photo)
        photo.quality = _quality(photo)
        sources = photo.title_src, photo.caption_src, photo.taken_src, photo.keywords_src
        if max(map(len, sources)) > 8 or len(photo.caption) > 4096 or len(photo.title) > 200:
            raise Refused(HTTPStatus.INTERNAL_SERVER_ERROR, SAVE_FAILED)  # as MariaDB does
        photo.updated_at = _now()
        with self._lock:
            stored = self.photos[photo.uid]
            for column in fields(Photo):
                if column.name not in ("labels", "files", "created_at"):
                    setattr(stored, column.name, getattr(photo, column.name))

    def _name(self, photo: Photo) -> None:
        """Choose the title, unless somebody has; a caption without a source does not survive it."""
        if photo.title_src and (photo.title or self.api != "2024"):
            return
        if not photo.caption_src:
            photo.caption = ""
        best = "Unknown"
        if photo.labels:
            row, label = photo.labels[0]
            if label.priority >= -1 and row.uncertainty <= 85:
                best = label.name
        photo.title = f"{best} / {photo.taken_at.year}" if photo.taken_src else best
        photo.title_src = ""


def _quality(photo: Photo) -> int:
    """Return the score of a photo; an edited one is no longer in review (``photo_quality.go``)."""
    score = 3 * photo.favorite + (photo.megapixels >= 2)
    score += photo.taken_src not in ("", "default", "estimate", "file")
    score += photo.type not in ("vector", "animated")
    return max(score, 3) if photo.edited_at or photo.type != "image" else score


def _nothing() -> None:
    pass


def _now() -> datetime:
    return datetime.now(UTC)
