"""What goes into a sidecar: all that models say, and a person's fields as far as they are free."""

from collections.abc import Mapping, Sequence
from typing import Any

DESCRIPTION, SUBJECT = "XMP-dc:Description", "XMP-dc:Subject"
OURS = "XMP-vision"
WROTE_DESCRIPTION, WROTE_SUBJECT = f"{OURS}:WroteDescription", f"{OURS}:WroteSubject"
EMBEDDED_TEXTS = ("XMP-dc:Description", "IPTC:Caption-Abstract", "IFD0:ImageDescription")
EMBEDDED_KEYWORDS = ("XMP-dc:Subject", "IPTC:Keywords")
READ = (
    "XMP-dc:all",
    f"{OURS}:all",
    "IPTC:Caption-Abstract",
    "IPTC:Keywords",
    "IFD0:ImageDescription",
)
"""What has to be known of a photo and of its sidecar."""
OF_CAMERAS = (
    "olympus digital camera", "sony dsc", "minolta digital camera", "konica minolta", "samsung",
    "dcim", "dav", "default", "digital camera", "kodak digital still camera", "untitled",
)  # fmt: skip
"""What cameras write into each photo as its description, in lower case."""

Fields = Mapping[str, Any]
Values = list[tuple[str, str]]


def merged(
    results: Mapping[str, Any], models: Sequence[str], sidecar: Fields, photo: Fields
) -> Values:
    """Return the fields to write into a sidecar.

    What a person has written stays: a description is written only where there is none, or where it
    is still the one that was written here; keywords are added to those there are. What a person
    has deleted of ours is not written again.

    Args:
        results: of the service, by task.
        models: those that answered.
        sidecar: what the sidecar has; empty: it is new.
        photo: what the photo itself has.
    """
    values: Values = [(f"{OURS}:Models", model) for model in models]
    if caption := (results.get("caption") or {}).get("text"):
        values.append((f"{OURS}:Caption", caption))
        values += _description(caption, sidecar, photo)
    if (found := results.get("labels")) is not None:
        labels = [label["name"] for label in found]
        values += [(f"{OURS}:Labels", label) for label in labels or [""]]
        values += _subject(labels, sidecar, photo)
    for verdict in (results.get("nsfw") or ())[:1]:
        values.append((f"{OURS}:NsfwStatus", verdict["status"]))
        score = verdict.get("score")
        values.append((f"{OURS}:NsfwScore", "" if score is None else str(score)))
    return values


def _description(caption: str, sidecar: Fields, photo: Fields) -> Values:
    wrote = _text(sidecar, WROTE_DESCRIPTION)
    # In other languages it has fields of its own, as XMP-dc:Description-de.
    present = [str(value) for name, value in sidecar.items() if name.startswith(DESCRIPTION)]
    if present != ([wrote] if wrote else []):
        return []  # a person's, or ours that a person has deleted or changed
    if not wrote and any(_is_a_persons(_text(photo, name)) for name in EMBEDDED_TEXTS):
        return []
    return [(DESCRIPTION, caption), (WROTE_DESCRIPTION, caption)]


def _is_a_persons(text: str) -> bool:
    return bool(text.strip()) and not text.strip().casefold().startswith(OF_CAMERAS)


def _subject(labels: Sequence[str], sidecar: Fields, photo: Fields) -> Values:
    present, wrote = _words(sidecar, SUBJECT), _words(sidecar, WROTE_SUBJECT)
    if not present and not wrote:  # a program may look at no keywords but the sidecar's
        present = [word for name in EMBEDDED_KEYWORDS for word in _words(photo, name)]
        present = list(dict.fromkeys(present))
    deleted = [word for word in wrote if word not in present]
    persons = [word for word in present if word not in wrote]
    taken = {word.casefold() for word in (*persons, *deleted)}
    added = [label for label in labels if label.casefold() not in taken]
    values = [(SUBJECT, word) for word in (*persons, *added) or ("",)]
    return values + [(WROTE_SUBJECT, word) for word in (*added, *deleted) or ("",)]


def _text(fields: Fields, name: str) -> str:
    return str(fields.get(name, ""))


def _words(fields: Fields, name: str) -> list[str]:
    value = fields.get(name, [])
    return [str(word) for word in (value if isinstance(value, list) else [value])]
