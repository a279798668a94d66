"""What a backfill may write into a photo of PhotoPrism, whose API lets everything be overwritten.

Nothing of a person, of a file's metadata or of another program is changed: only what is empty, and
what an earlier run of ours wrote and nobody has changed since. What that was, the journal knows
(:class:`Provenance`).
"""

import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel

from vision.photoprism.photo import REJECTED, Label, Photo, slug_of

OURS = "image"
"""The source that PhotoPrism gives to answers of vision services."""
MANUAL = "manual"
LOWER: Collection[str] = (
    "", "default", "estimate", "file", "name", "yaml", "oidc", "ldap", "location", "marker", OURS,
)  # fmt: skip
"""Sources that rank no higher in PhotoPrism (``internal/entity/src.go``); all others do, such as
``meta``, ``xmp``, ``manual`` and those that are not known here."""
CAPTION_CHARACTERS, LABEL_CHARACTERS = 4096, 160
"""What PhotoPrism's database takes."""


class Overwrite(StrEnum):
    """What is replaced."""

    OWN = "own"
    NEVER = "never"


class GivenLabel(BaseModel):
    """A label that we gave to a photo, or were about to give to it."""

    uncertainty: int
    is_sure: bool = False
    """Whether the photo had it then. Only then has a person taken it off where it is missing."""


class Provenance(BaseModel):
    """What earlier runs wrote into a photo."""

    captions: tuple[str, ...] = ()
    """The last one, and one that may have been written when a run was killed."""
    labels: dict[str, GivenLabel] = {}
    """By slug."""
    private: Literal["", "intended", "done"] = ""


class NewLabel(NamedTuple):
    """A label as a model gives it."""

    name: str
    uncertainty: int
    """In percent."""
    priority: int


class LabelChanges(NamedTuple):
    """What is to be done to the labels of a photo."""

    add: Mapping[str, NewLabel]
    """By slug."""
    remove: Sequence[Label]


def open_tasks(
    photo: Photo, tasks: Sequence[str], given: Provenance, overwrite: Overwrite
) -> list[str]:
    """Return those of the tasks whose answer may be written into a photo."""
    is_open = {
        "caption": may_caption(photo, given, overwrite),
        "labels": may_label(photo, given, overwrite),
        "nsfw": may_hide(photo, given),
    }
    return [task for task in tasks if is_open[task]]


def may_caption(photo: Photo, given: Provenance, overwrite: Overwrite) -> bool:
    """Return whether a photo may get a caption."""
    if photo.caption_source not in LOWER:  # also an empty one: a person has deleted it
        return False
    if not photo.caption.strip():
        return True
    return overwrite is Overwrite.OWN and _is_our_caption(photo, given)


def may_label(photo: Photo, given: Provenance, overwrite: Overwrite) -> bool:
    """Return whether a photo may get labels."""
    if overwrite is Overwrite.OWN:
        return True
    return all(
        label.uncertainty >= REJECTED or _is_our_label(label, given) for label in photo.labels
    )


def may_hide(photo: Photo, given: Provenance) -> bool:
    """Return whether a photo may become private; not again, if a person has made it public."""
    return not photo.is_private and given.private != "done"


def confirmed(given: Provenance, photo: Photo) -> Provenance:
    """Return what earlier runs wrote, of which a killed one only knew what it was about to write.

    Args:
        given: what they noted.
        photo: as it is now.
    """
    labels = {
        slug: old.model_copy(update={"is_sure": True})
        for slug, old in given.labels.items()
        if old.is_sure or ((label := photo.label(slug)) and _is_our_label(label, given))
    }
    is_hidden = given.private == "intended" and photo.is_private
    private = "done" if is_hidden or given.private == "done" else ""
    return given.model_copy(update={"labels": labels, "private": private})


def caption_in(result: Mapping[str, Any] | None) -> str:
    """Return the caption in an answer, as PhotoPrism can keep it; empty: there is none."""
    text = str((result or {}).get("text") or "")
    return unicodedata.normalize("NFC", text).strip()[:CAPTION_CHARACTERS]


def labels_in(result: Iterable[Mapping[str, Any]] | None) -> dict[str, NewLabel]:
    """Return the labels in an answer by slug, of each the surest."""
    found: dict[str, NewLabel] = {}
    for label in result or ():
        name = unicodedata.normalize("NFC", str(label["name"])).strip()[:LABEL_CHARACTERS]
        uncertainty = round(100 * (1 - float(label.get("confidence") or 0)))
        new = NewLabel(
            name, min(max(uncertainty, 0), REJECTED - 1), int(label.get("priority") or 0)
        )
        slug = slug_of(name)
        if slug and (slug not in found or new.uncertainty < found[slug].uncertainty):
            found[slug] = new
    return found


def is_unsafe(result: Sequence[Mapping[str, Any]] | None) -> bool:
    """Return whether an answer says that a photo is not safe for work."""
    return any(verdict.get("status") == "unsafe" for verdict in result or ())


def label_changes(
    photo: Photo, wanted: Mapping[str, NewLabel], given: Provenance, overwrite: Overwrite
) -> LabelChanges:
    """Return what is to be done so that a photo has the labels of an answer.

    A label that the photo has, of whatever source, stays as it is; so does one that a person has
    rejected, or taken off after an earlier run of ours had given it.
    """
    present = {slug for label in photo.labels for slug in label.slugs}
    taken_off = {slug for slug, label in given.labels.items() if label.is_sure}
    add = {slug: new for slug, new in wanted.items() if slug not in present | taken_off}
    if overwrite is Overwrite.NEVER:
        return LabelChanges(add, [])
    return LabelChanges(
        add,
        [
            label
            for label in photo.labels
            if _is_our_label(label, given)
            and not label.slugs & wanted.keys()
            and not _is_keyword(label, photo)
        ],
    )


def _is_keyword(label: Label, photo: Photo) -> bool:
    """Return whether a person or a file names a label as a keyword, which would go with it."""
    if label.label is None or photo.details.keywords_source in LOWER:
        return False
    return not {*slug_of(photo.details.keywords).split("-")}.isdisjoint(
        slug_of(label.label.name).split("-")
    )


def _is_our_caption(photo: Photo, given: Provenance) -> bool:
    return photo.caption_source == OURS and photo.caption in given.captions


def _is_our_label(label: Label, given: Provenance) -> bool:
    """Return whether we gave a label, and nobody has changed it since."""
    return label.source in (OURS, MANUAL) and any(
        given.labels[slug].uncertainty == label.uncertainty
        for slug in label.slugs & given.labels.keys()
    )
