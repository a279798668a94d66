"""Measure a saved checkpoint on held-out pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tools.tiny_checkpoints.answerers import ANSWERERS
from tools.tiny_checkpoints.shapes import HELD_OUT_SEED, Box, Picture, draw

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

BATCH = 50


@dataclass(frozen=True)
class Report:
    """Accuracies on held-out pictures, each a fraction of them.

    Attributes:
        exact: Captions that are right word for word.
        colour: Captions with the right colour.
        shape: Captions with the right shape.
        entities: Answers with exactly one box.
        overlap: Mean intersection over union of the first box and the right one.

    """

    exact: float
    colour: float
    shape: float
    entities: float
    overlap: float


def held_out(count: int) -> list[Picture]:
    """Return pictures that no checkpoint was trained on."""
    return [draw(HELD_OUT_SEED + index) for index in range(count)]


def measure(name: str, folder: Path, count: int = 400) -> Report:
    """Measure a checkpoint.

    Args:
        name: Its name, such as "blip".
        folder: Where its files are.
        count: Number of held-out pictures.

    Returns:
        The accuracies, each between 0 and 1.

    """
    answer = ANSWERERS[name](str(folder))
    pictures = held_out(count)
    answers = [found for batch in chunks(pictures, BATCH) for found in answer(batch)]
    pairs = list(zip(answers, pictures, strict=True))
    return Report(
        exact=sum(a.caption == p.caption for a, p in pairs) / count,
        colour=sum(p.colour in a.caption.split() for a, p in pairs) / count,
        shape=sum(p.shape in a.caption.split() for a, p in pairs) / count,
        entities=sum(len(a.boxes) == 1 for a, _ in pairs) / count,
        overlap=sum(overlap(a.boxes[0], p.box) for a, p in pairs if a.boxes) / count,
    )


def chunks(pictures: Sequence[Picture], size: int) -> list[Sequence[Picture]]:
    """Return the pictures in chunks of a size; the last one may be smaller."""
    return [pictures[start : start + size] for start in range(0, len(pictures), size)]


def overlap(one: Box, other: Box) -> float:
    """Return the intersection over union of two boxes."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    common = max(width, 0.0) * max(height, 0.0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return common / (sum(areas) - common)
