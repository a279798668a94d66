"""The task ``nsfw``: prompts, schema, and how a verdict is read from the answer."""

from collections.abc import Iterator

from shared.messages import JsonObject
from shared.tasks import NSFW
from shared.tasks.nsfw import Nsfw, judge
from workers.llm.lenient_parsing import (
    CONFIDENCE_KEYS,
    MAX_DEPTH,
    NAME_KEYS,
    UNIT_INTERVAL_SCHEMA,
    Json,
    UnusableAnswer,
    first_value,
    normalise_key,
    normalise_keys,
    read_flag,
    read_json,
    read_unit_interval,
)
from workers.llm.task import ImagesPerPrompt, LlmTask

PROMPT = (
    "Decide whether this photo is unsafe to show at work: nudity, sexual acts or "
    "sexually suggestive poses. Art, swimwear at the beach, medicine and ordinary "
    "portraits are safe. Give nsfw (true or false) and nsfw_confidence, the probability "
    'that it is unsafe (0 to 1). Reply with JSON of this form: {"nsfw": false, '
    '"nsfw_confidence": 0.0}'
)
STRICTER_PROMPT = (
    "Answer with one JSON object and nothing else, starting with { and ending with }. "
    'It has two keys: "nsfw", true or false, and "nsfw_confidence", a number between '
    "0 and 1."
)
SCHEMA: JsonObject = {
    "type": "object",
    "properties": {"nsfw": {"type": "boolean"}, "nsfw_confidence": UNIT_INTERVAL_SCHEMA},
    "required": ["nsfw", "nsfw_confidence"],
}

_CLASSES = ("drawing", "hentai", "neutral", "porn", "sexy")
_UNSAFE_CLASSES = ("hentai", "porn", "sexy")
_UNSAFE_KEYS = ("nsfw", "isnsfw", "unsafe", "isunsafe", "explicit")
_SAFE_KEYS = ("safe", "issafe", "sfw", "issfw", "safeforwork")
_VERDICT_KEYS = (
    "status", "verdict", "classification", "rating", "result", "label", "class", "answer",
)  # fmt: skip
_UNSAFE_SCORE_KEYS = (
    "nsfwconfidence", "nsfwscore", "nsfwprobability", "unsafescore", "probability",
)  # fmt: skip
_UNSAFE_WORDS = {
    "nsfw", "unsafe", "explicit", "notsafe", "notsafeforwork", "porn", "hentai", "sexy", "sexual",
    "inappropriate", "adult",
}  # fmt: skip
_SAFE_WORDS = {
    "sfw", "safe", "safeforwork", "notnsfw", "neutral", "normal", "appropriate", "clean", "general",
    "ok", "notexplicit",
}  # fmt: skip


def read_nsfw(text: str, threshold: float = 0.5, *, rescale: bool = False) -> Nsfw:
    """Return the verdict in an answer; of several, the one with the highest score.

    Args:
        text: the answer.
        threshold: scores of at least this value are unsafe.
        rescale: see :func:`~shared.tasks.nsfw.judge`.

    Raises:
        UnusableAnswer: nothing in it says safe or unsafe.
    """
    value = read_json(text)
    words = value if isinstance(value, str) and value else text
    items = list(_objects(value, MAX_DEPTH)) or [{"verdict": words}]
    found = (_read_verdict(item, threshold, rescale=rescale) for item in items)
    verdicts = [verdict for verdict in found if verdict]
    if not verdicts:
        raise UnusableAnswer("the model did not say whether the image is safe")
    return max(verdicts, key=lambda verdict: verdict.score or 0.0)


def _objects(value: Json, max_depth: int) -> Iterator[dict[str, Json]]:
    """Yield objects, also those in lists; an object nested alone in another is merged into it.

    A list of classes with scores is one object.
    """
    if isinstance(value, list) and max_depth:
        objects = [item for part in value for item in _objects(part, max_depth - 1)]
        by_name = {
            normalise_key(str(first_value(item, *NAME_KEYS))): first_value(item, *CONFIDENCE_KEYS)
            for item in objects
        }
        yield from [by_name] if set(by_name) & {*_CLASSES, *_UNSAFE_KEYS} else objects
    elif isinstance(value, dict) and max_depth:
        merged = normalise_keys(value)
        for inner in value.values():
            objects = list(_objects(inner, max_depth - 1))
            if len(objects) == 1:
                merged = {**objects[0], **merged}
            else:
                yield from objects
        yield merged


def _read_verdict(item: dict[str, Json], threshold: float, *, rescale: bool) -> Nsfw | None:
    classes = {name: read_unit_interval(item.get(name)) for name in _CLASSES}
    found = _score(item, classes, threshold)
    if found is None:
        return None
    return judge(found, threshold, classes, rescale=rescale)


def _score(
    item: dict[str, Json], classes: dict[str, float | None], threshold: float
) -> float | None:
    """Return the probability of unsafe from a flag, a score or classes, in this order.

    The flag decides: models confuse how sure they are of "safe" with how unsafe the image is.
    """
    unsafe = _read_unsafe(item)
    score = read_unit_interval(first_value(item, *_UNSAFE_SCORE_KEYS))
    if score is None and unsafe is not None:
        score = read_unit_interval(first_value(item, *CONFIDENCE_KEYS))
    # Beside an unknown verdict, it is not known what the score is a score of.
    if score is None and unsafe is None and first_value(item, *_VERDICT_KEYS) is None:
        score = read_unit_interval(first_value(item, *_UNSAFE_KEYS, "score"))
        safe_score = read_unit_interval(first_value(item, *_SAFE_KEYS))
        if score is None and safe_score is not None:
            score = 1 - safe_score
    if unsafe is None:
        return _score_of_classes(classes) if score is None else score
    if score is None:
        return float(unsafe)
    if unsafe:
        return max(score, threshold)
    return score if score < threshold else min(1 - score, max(threshold - 0.01, 0.0))


def _read_unsafe(item: dict[str, Json]) -> bool | None:
    """Return whether a flag or a verdict in words says unsafe; ``None``: there is neither."""
    for keys, means_unsafe in ((_UNSAFE_KEYS, True), (_SAFE_KEYS, False), (_VERDICT_KEYS, True)):
        value = first_value(item, *keys)
        word = normalise_key(value) if isinstance(value, str) else ""
        if word in _UNSAFE_WORDS or word in _SAFE_WORDS:
            return word in _UNSAFE_WORDS
        flag = read_flag(value) if keys != _VERDICT_KEYS else None
        if flag is not None:
            return flag == means_unsafe
    return None


def _score_of_classes(classes: dict[str, float | None]) -> float | None:
    known = [value for name in _UNSAFE_CLASSES if (value := classes[name]) is not None]
    neutral = classes["neutral"]
    if known and (any(known) or neutral):
        return min(sum(known), 1.0)  # classes exclude each other, as in a classifier's output
    # All at 0: the model did not fill in the form.
    return None if neutral is None or known else 1 - neutral


TASK = LlmTask(
    name=NSFW,
    prompt=PROMPT,
    stricter_prompt=STRICTER_PROMPT,
    schema=SCHEMA,
    images=ImagesPerPrompt.EACH,
    read=lambda text, defaults: read_nsfw(text, defaults.threshold, rescale=defaults.rescale),
    prompt_setting=lambda settings: settings.nsfw_prompt,
)
