"""Turns what an LLM wrote about an image into a verdict: safe or unsafe."""

from collections.abc import Iterator
from typing import Any

from shared.tasks.nsfw import Nsfw, NsfwStatus
from shared.units import clamp01
from workers.llm.lenient_parsing import (
    CONFIDENCES,
    DEEPEST,
    NAMES,
    SHARE_SCHEMA,
    Json,
    UnusableAnswer,
    fields,
    first,
    key,
    read_flag,
    read_json,
    read_share,
)

NSFW_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"nsfw": {"type": "boolean"}, "nsfw_confidence": SHARE_SCHEMA},
    "required": ["nsfw", "nsfw_confidence"],
}
"""What is sent as ``format`` for NSFW."""


_CLASSES = ("drawing", "hentai", "neutral", "porn", "sexy")
_FLAG = ("nsfw", "isnsfw", "unsafe", "isunsafe", "explicit")
_OPPOSITE = ("safe", "issafe", "sfw", "issfw", "safeforwork")
_VERDICT = ("status", "verdict", "classification", "rating", "result", "label", "class", "answer")
_UNSAFE_SCORE = ("nsfwconfidence", "nsfwscore", "nsfwprobability", "unsafescore", "probability")
_WORDS = {"nsfw": True, "unsafe": True, "explicit": True, "notsafe": True, "notsafeforwork": True}
_WORDS |= dict.fromkeys(("porn", "hentai", "sexy", "sexual", "inappropriate", "adult"), True)
_WORDS |= dict.fromkeys(("sfw", "safe", "safeforwork", "notnsfw", "neutral", "normal"), False)
_WORDS |= dict.fromkeys(("appropriate", "clean", "general", "ok", "notexplicit"), False)


def read_nsfw(text: str, threshold: float = 0.5) -> Nsfw:
    """Return the verdict in an answer; of several the worst.

    Raises:
        UnusableAnswer: When nothing in it says safe or unsafe.
    """
    value = read_json(text)
    spoken = value if isinstance(value, str) and value else text
    items = list(_objects(value, DEEPEST)) or [{"verdict": spoken}]
    verdicts = [verdict for item in items if (verdict := _nsfw(item, threshold))]
    if not verdicts:
        raise UnusableAnswer("the model did not say whether the image is safe")
    return max(verdicts, key=lambda verdict: verdict.score or 0.0)


def _objects(value: Json, deepest: int) -> Iterator[dict[str, Json]]:
    """Yield objects, those in lists too; what is inside an object is taken for its own fields.

    A list of classes with scores is one object.
    """
    if isinstance(value, list) and deepest:
        objects = [item for part in value for item in _objects(part, deepest - 1)]
        named = {key(str(first(item, *NAMES))): first(item, *CONFIDENCES) for item in objects}
        yield from [named] if set(named) & {*_CLASSES, *_FLAG} else objects
    elif isinstance(value, dict) and deepest:
        known = fields(value)
        for inner in value.values():
            objects = list(_objects(inner, deepest - 1))
            if len(objects) == 1:
                known = {**objects[0], **known}
            else:
                yield from objects
        yield known


def _nsfw(item: dict[str, Json], threshold: float) -> Nsfw | None:
    classes = {name: read_share(item.get(name)) for name in _CLASSES}
    found = _score(item, classes, threshold)
    if found is None:
        return None
    score = clamp01(found)
    status = NsfwStatus.UNSAFE if score >= threshold else NsfwStatus.SAFE
    return Nsfw(status=status, score=score, threshold=threshold, **classes)


def _score(
    item: dict[str, Json], classes: dict[str, float | None], threshold: float
) -> float | None:
    """Return the probability of unsafe from a flag, a score or classes, in this order.

    The flag decides: models mix up how sure they are of "safe" with how unsafe it is.
    """
    flag = _flag(item)
    score = read_share(first(item, *_UNSAFE_SCORE))
    if score is None and flag is not None:
        score = read_share(first(item, *CONFIDENCES))
    # Beside a word that is not known, nobody can say what the score is of.
    if score is None and flag is None and first(item, *_VERDICT) is None:
        score = read_share(first(item, *_FLAG, "score"))
        safe = read_share(first(item, *_OPPOSITE))
        if score is None and safe is not None:
            score = 1 - safe
    if flag is None:
        return _score_of_classes(classes) if score is None else score
    if score is None:
        return float(flag)
    if flag:
        return max(score, threshold)
    return score if score < threshold else min(1 - score, max(threshold - 0.01, 0.0))


def _flag(item: dict[str, Json]) -> bool | None:
    """Return what ``nsfw``, ``safe`` or a verdict in words says, if they do."""
    for names, unsafe in ((_FLAG, True), (_OPPOSITE, False), (_VERDICT, True)):
        value = first(item, *names)
        word = _WORDS.get(key(value)) if isinstance(value, str) else None
        if word is not None:
            return word
        flag = read_flag(value) if names != _VERDICT else None
        if flag is not None:
            return flag == unsafe
    return None


def _score_of_classes(classes: dict[str, float | None]) -> float | None:
    unsafe = [classes[name] for name in ("hentai", "porn", "sexy")]
    known = [value for value in unsafe if value is not None]
    neutral = classes["neutral"]
    if known and (any(known) or neutral):
        return min(sum(known), 1.0)  # classes exclude each other, as in a classifier's output
    return None if neutral is None or known else 1 - neutral  # all at 0: a form not filled in
