"""The task ``labels``: what can be seen in a photo."""

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel, TypeAdapter

from shared.tasks.registry import TaskSpec
from shared.units import UnitInterval

TOLD_APART = 2 / 3
"""Share of a category's confidence from which a label below it stands for it: twice as much as all
its siblings together."""


class Label(BaseModel):
    """One label; field names and types are PhotoPrism's."""

    name: str
    source: str = "image"
    priority: int = 0
    confidence: UnitInterval
    topicality: UnitInterval = 0.0
    categories: tuple[str, ...] = ()


_ADAPTER = TypeAdapter(tuple[Label, ...])


def merge_labels(labels: Iterable[Label]) -> tuple[Label, ...]:
    """Return the most confident label of each name, whatever its case; most confident first."""
    best: dict[str, Label] = {}
    for label in labels:
        key = label.name.casefold()
        if key not in best or label.confidence > best[key].confidence:
            best[key] = label
    return tuple(sorted(best.values(), key=lambda label: -label.confidence))


def _merge_crops(answers: Sequence[tuple[Label, ...] | None]) -> tuple[Label, ...]:
    """Merge the labels of all images: they are crops of one photo.

    A model does not name a category and what is below it for one image, but it may for two crops.
    """
    merged = merge_labels(label for answer in answers for label in answer or ())
    return merged if len(answers) == 1 else without_kin(merged)


def without_kin(labels: Sequence[Label]) -> tuple[Label, ...]:
    """Keep of a category and a label below it the more specific one, if it is confident enough.

    Of two labels that are each other's category, as PhotoPrism's people and portrait, one stays.

    Args:
        labels: most confident first.
    """
    dropped = set[str]()
    for label in labels:
        if label.name in dropped:
            continue
        for other in labels:
            if other.name in label.categories:
                is_confident = label.confidence >= TOLD_APART * other.confidence
                dropped.add(other.name if is_confident else label.name)
    return tuple(label for label in labels if label.name not in dropped)


def _text(labels: tuple[Label, ...]) -> str:
    return ", ".join(label.name for label in labels)


def _data(labels: tuple[Label, ...]) -> Any:  # noqa: ANN401 - JSON
    """Leave out the source, which to clients of Ollama's API is always the image."""
    return _ADAPTER.dump_python(labels, mode="json", exclude={"__all__": {"source"}})


SPEC = TaskSpec(
    name="labels",
    payload=tuple[Label, ...],
    combine=_merge_crops,
    as_text=_text,
    as_data=_data,
    is_structured=True,
)
