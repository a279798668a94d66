"""The task ``nsfw``: whether a photo is safe to show at work."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, Field

from shared.tasks.registry import TaskSpec
from shared.units import UnitInterval, clamp01

PHOTOPRISM_THRESHOLD = 0.75
"""Score from which PhotoPrism's client of autumn 2026 takes an image for unsafe, whatever our
``status`` says, unless its own ``Thresholds`` say otherwise: package ``internal/ai/vision``."""
DEFAULT_THRESHOLD = 0.5
"""Score from which an image is unsafe where the row of the model names none."""
_SAFE_CLASSES = ("drawing", "neutral")
_UNSAFE_CLASSES = ("hentai", "porn", "sexy")


class NsfwStatus(StrEnum):
    """Verdict on one image, in PhotoPrism's words."""

    SAFE = "safe"
    UNSAFE = "unsafe"
    UNAVAILABLE = "unavailable"


class Nsfw(BaseModel):
    """Verdict on one image.

    A model that does not tell classes apart has its score as `Porn` and the rest as `Neutral`.
    """

    status: NsfwStatus
    score: UnitInterval | None = Field(None, description="probability that the image is not safe")
    threshold: UnitInterval | None = Field(None, description="scores from here on are unsafe")
    reason: str | None = Field(None, description="why there is no verdict")
    drawing: UnitInterval | None = Field(None, serialization_alias="Drawing")
    hentai: UnitInterval | None = Field(None, serialization_alias="Hentai")
    neutral: UnitInterval | None = Field(None, serialization_alias="Neutral")
    porn: UnitInterval | None = Field(None, serialization_alias="Porn")
    sexy: UnitInterval | None = Field(None, serialization_alias="Sexy")


def judge(
    score: float,
    threshold: float,
    classes: Mapping[str, float | None] | None = None,
    *,
    rescale: bool = False,
) -> Nsfw:
    """Return the verdict that follows from the probability that an image is unsafe.

    PhotoPrism's clients up to the middle of 2026 read nothing but class scores. Where the model
    knows no unsafe class, or where its classes say the opposite of its score, ``porn`` therefore
    has the score and ``neutral`` the rest.

    Args:
        score: the probability, from 0 to 1.
        threshold: scores of at least this value are unsafe.
        classes: probabilities by class, in lower case, as far as the model knows them.
        rescale: map the scores so that the threshold becomes :data:`PHOTOPRISM_THRESHOLD`.
    """
    score = clamp01(score)
    known = {name: value for name, value in (classes or {}).items() if value is not None}
    unsafe = [known[name] for name in _UNSAFE_CLASSES if name in known]
    is_told_apart = bool(unsafe) and (clamp01(sum(unsafe)) < threshold) == (score < threshold)
    if rescale:
        score, threshold = clamp01(rescale_score(score, threshold)), PHOTOPRISM_THRESHOLD
        known |= _scaled(known, _UNSAFE_CLASSES, score) | _scaled(known, _SAFE_CLASSES, 1 - score)
    if not is_told_apart:
        known |= {"porn": score, "neutral": 1 - score}
    return Nsfw(
        status=NsfwStatus.UNSAFE if score >= threshold else NsfwStatus.SAFE,
        score=score,
        threshold=threshold,
        **{name: clamp01(value) for name, value in known.items()},
    )


def threshold_of(parameters: Mapping[str, Any]) -> float:
    """Return the threshold in the answers of a model, by the parameters of its row."""
    if parameters.get("rescale"):
        return PHOTOPRISM_THRESHOLD
    return float(parameters.get("threshold", DEFAULT_THRESHOLD))


def rescale_score(score: float, threshold: float) -> float:
    """Map a score piecewise linearly: 0 to 0, the threshold to 0.75, 1 to 1."""
    if score < threshold:
        return PHOTOPRISM_THRESHOLD * score / threshold
    if threshold == 1:
        return 1.0
    return 1 - (1 - PHOTOPRISM_THRESHOLD) * (1 - score) / (1 - threshold)


def _scaled(classes: Mapping[str, float], names: Sequence[str], total: float) -> dict[str, float]:
    """Return the named classes in their proportions, with another sum."""
    before = sum(classes.get(name, 0.0) for name in names)
    return {name: classes[name] * total / before for name in names if before and name in classes}


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
