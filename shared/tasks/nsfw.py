"""The task ``nsfw``: whether a photo is safe to show at work."""

from collections.abc import Sequence
from enum import StrEnum

from pydantic import BaseModel, Field

from shared.tasks.registry import TaskSpec
from shared.units import UnitInterval


class NsfwStatus(StrEnum):
    """Verdict on one image, in PhotoPrism's words."""

    SAFE = "safe"
    UNSAFE = "unsafe"
    UNAVAILABLE = "unavailable"


class Nsfw(BaseModel):
    """Verdict on one image. Class scores are there only where the model tells the classes apart."""

    status: NsfwStatus
    score: UnitInterval | None = Field(None, description="probability that the image is not safe")
    threshold: UnitInterval | None = Field(None, description="scores from here on are unsafe")
    reason: str | None = Field(None, description="why there is no verdict")
    drawing: UnitInterval | None = Field(None, serialization_alias="Drawing")
    hentai: UnitInterval | None = Field(None, serialization_alias="Hentai")
    neutral: UnitInterval | None = Field(None, serialization_alias="Neutral")
    porn: UnitInterval | None = Field(None, serialization_alias="Porn")
    sexy: UnitInterval | None = Field(None, serialization_alias="Sexy")


def _one_each(answers: Sequence[Nsfw | None]) -> tuple[Nsfw, ...]:
    """Return one verdict per image, in order; ``unavailable`` where the model gave none."""
    return tuple(answer or _unavailable("The model gave no verdict.") for answer in answers)


def _unavailable(reason: str) -> Nsfw:
    return Nsfw(status=NsfwStatus.UNAVAILABLE, reason=reason)


def _text(verdicts: tuple[Nsfw, ...]) -> str:
    return ", ".join(verdict.status for verdict in verdicts)


SPEC = TaskSpec(
    name="nsfw",
    payload=tuple[Nsfw, ...],
    combine=_one_each,
    as_text=_text,
    for_unreadable=_unavailable,
    is_structured=True,
)
