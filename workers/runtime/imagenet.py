"""The 1000 classes of ImageNet-1k under names that people use, with categories."""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

DATA = Path(__file__).parent / "data" / "imagenet_labels.json"


class ImageNetClass(NamedTuple):
    """One class: its name, categories from specific to general, and priority in PhotoPrism."""

    name: str
    categories: tuple[str, ...]
    priority: int


@lru_cache(maxsize=1)
def imagenet_classes() -> tuple[ImageNetClass, ...]:
    """Return the classes in the order of a classifier's outputs."""
    rows = json.loads(DATA.read_text(encoding="utf-8"))
    return tuple(
        ImageNetClass(row["name"], tuple(row["categories"]), row["priority"]) for row in rows
    )


def readable_classes(
    names: Sequence[str], categories: Mapping[str, tuple[str, ...]]
) -> tuple[ImageNetClass, ...]:
    """Return any classifier's classes under names that people use, in the order of its outputs.

    Args:
        names: as the model has them; those of ImageNet are recognised.
        categories: of classes that are not ImageNet's, from specific to general.
    """
    known = imagenet_classes()
    if len(names) == len(known) and names[0].startswith("tench"):
        return known
    return tuple(
        ImageNetClass(name.split(",")[0].replace("_", " ").strip(), categories.get(name, ()), 0)
        for name in names
    )
