"""The task ``caption``: one or more sentences on a photo."""

from collections.abc import Sequence

from pydantic import BaseModel, Field

from shared.tasks.registry import TaskSpec
from shared.text import has_words
from shared.units import UnitInterval


class Caption(BaseModel):
    """What is said of an image."""

    text: str
    source: str = "image"
    confidence: UnitInterval | None = None
    composed_from: str | None = Field(
        None, description="`labels` when the text was put together from labels, not generated"
    )


def _first(answers: Sequence[Caption | None]) -> Caption | None:
    """Return the caption of the first image: the others are crops of the same photo.

    One without words is none.
    """
    first = answers[0] if answers else None
    return first if first and has_words(first.text) else None


def _text(caption: Caption) -> str:
    return caption.text


SPEC = TaskSpec(
    name="caption",
    payload=Caption,
    combine=_first,
    as_text=_text,
    as_data=_text,
    aliases=("describe",),  # what the service of 2024 called captions
)
