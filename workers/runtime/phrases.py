"""From phrases that a model found in a picture, with their boxes, to labels."""

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from shared.tasks.labels import Label
from shared.text import one_line
from shared.units import clamp01

_DETERMINERS = re.compile(
    r"^(?:(?:a|an|the|this|that|these|those|his|her|its|their|some|several|many|one|two|three|four|"
    r"five|six|other|another|both|each)\s+)+",
    re.IGNORECASE,
)
_VAGUE = frozenset({"image", "photo", "picture", "it", "he", "she", "they", "them", "background"})
"""Phrases that are no labels."""


class Found(NamedTuple):
    """A phrase, with what is known of it."""

    phrase: str
    confidence: float
    area: float
    """The fraction of the picture that its largest box covers."""


def labels_of(found: Iterable[Found]) -> list[Label]:
    """Turn phrases into labels: "a snowman" becomes ``snowman``; topicality is the area."""
    labels = []
    for phrase, confidence, area in found:
        name = _DETERMINERS.sub("", one_line(phrase).strip(" .,")).strip().lower()
        if name and name not in _VAGUE:
            labels.append(
                Label(name=name, confidence=clamp01(confidence), topicality=clamp01(area))
            )
    return labels


def box_area(box: Any) -> float:  # noqa: ANN401 - a sequence of four numbers
    """Return the area of a box of left, top, right, bottom."""
    left, top, right, bottom = box
    return max(0.0, float(right) - float(left)) * max(0.0, float(bottom) - float(top))
