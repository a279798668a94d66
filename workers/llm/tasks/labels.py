"""The task ``labels``: prompts, schema, and how labels are read from the answer."""

import re
from collections.abc import Iterator

from shared.messages import JsonObject
from shared.tasks import LABELS
from shared.tasks.labels import Label
from workers.captions.refusals import is_refusal
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
    read_json,
    read_name,
    read_unit_interval,
)
from workers.llm.task import ImagesPerPrompt, LlmTask

PROMPT = (
    "List the 3 to 10 most fitting labels of this photo: things, living beings, places "
    "and activities that can be seen. A label is a common English noun in the singular, "
    "one word if possible. For each give the confidence that it is there (0 to 1) and "
    "the topicality, its share in what the photo is about (0 to 1). Reply with JSON of "
    'this form: {"labels": [{"name": "…", "confidence": 0.0, "topicality": 0.0}]}'
)
STRICTER_PROMPT = (
    "Answer with one JSON object and nothing else, starting with { and ending with }. "
    'It has one key, "labels": a list with at least one object of the keys "name" '
    '(a noun), "confidence" and "topicality" (numbers between 0 and 1). For example '
    '{"labels": [{"name": "bicycle", "confidence": 0.9, "topicality": 0.7}]} with the '
    "values for this photo."
)
MAX_NAME_CHARACTERS = 64
SCHEMA: JsonObject = {
    "type": "object",
    "properties": {
        "labels": {
            "type": "array",
            "minItems": 1,
            "maxItems": 20,
            "items": {
                "type": "object",
                "properties": {
                    "name": {
                        "type": "string",
                        "minLength": 1,
                        "maxLength": MAX_NAME_CHARACTERS,
                    },
                    "confidence": UNIT_INTERVAL_SCHEMA,
                    "topicality": UNIT_INTERVAL_SCHEMA,
                },
                "required": ["name", "confidence", "topicality"],
            },
        }
    },
    "required": ["labels"],
}
"""The fields are PhotoPrism's."""
MAX_LABELS = 50
MAX_NAME_WORDS = 4
"""A name of more words is a sentence."""
DEFAULT_CONFIDENCE = 0.5
"""Where the answer has none; PhotoPrism's own Ollama engine uses the same value."""

_TOPICALITY_KEYS = ("topicality", "relevance", "importance")
_CATEGORY_KEYS = ("categories", "category")
_LIST_KEYS = ("labels", "tags", "keywords")
_KEYS_THAT_ARE_NO_NAMES = {*CONFIDENCE_KEYS, *_TOPICALITY_KEYS, "nsfwconfidence", "nsfwscore"}
_PLACEHOLDERS = {"", "...", "…", "string", "none", "null", "unknown", "nsfw", "na", "n/a"}
_NAME_AND_CONFIDENCE = re.compile(
    r"(.+?)(?:\s*[:(=]\s*|\s+[\u2013-]\s*|[\u2013-]\s+|[\u2013-](?=\d*\.\d|[\d.]+\s*%))"
    r"([\d.]+\s*%?)\s*\)?"
)
"""A whole number behind a hyphen belongs to the name: F-16, Boeing 747-400."""


def read_labels(text: str) -> tuple[Label, ...]:
    """Return the labels in an answer, most confident first, each name once.

    Raises:
        UnusableAnswer: there are none.
    """
    answer = read_json(text)
    items = () if isinstance(answer, str) else _label_items(answer, MAX_DEPTH)
    labels = [label for item in items if (label := _read_label(item))]
    # All at 0: the model repeated the prompt's example. Otherwise 0 means "not in the photo".
    if any(label.confidence for label in labels):
        labels = [label for label in labels if label.confidence]
    else:
        labels = [_with_defaults(label) for label in labels]
    if not labels:
        raise UnusableAnswer("the model named no labels")
    merged: dict[str, Label] = {}
    for label in sorted(labels, key=lambda label: -label.confidence):
        merged.setdefault(label.name.casefold(), label)
    return tuple(merged.values())[:MAX_LABELS]


def _with_defaults(label: Label) -> Label:
    topicality = label.topicality or DEFAULT_CONFIDENCE
    update = {"confidence": DEFAULT_CONFIDENCE, "topicality": topicality}
    return label.model_copy(update=update)


def _label_items(value: Json, max_depth: int) -> Iterator[dict[str, Json]]:
    """Yield everything that could be one label, wherever it is nested."""
    if max_depth == 0:
        return
    if isinstance(value, str):
        yield _split_text(value)
    elif isinstance(value, list):
        for item in value:
            yield from _label_items(item, max_depth - 1)
    elif isinstance(value, dict):
        item = normalise_keys(value)
        if isinstance(first_value(item, *NAME_KEYS), str) and not _is_wrapper(item):
            yield item
        else:
            yield from _wrapped_items(value, max_depth)


def _is_wrapper(item: dict[str, Json]) -> bool:
    """Return whether an object with a name is a whole answer with a title: it contains a list."""
    lists = {name: value for name, value in item.items() if isinstance(value, list)}
    has_objects = any(isinstance(part, dict) for value in lists.values() for part in value)
    return has_objects or not lists.keys().isdisjoint(_LIST_KEYS)


def _wrapped_items(wrapper: dict[str, Json], max_depth: int) -> Iterator[dict[str, Json]]:
    """Yield labels from ``{"labels": …}``, ``{"cat": 0.9}`` and ``{"cat": {"score": 0.9}}``."""
    nested = {name: value for name, value in wrapper.items() if isinstance(value, dict | list)}
    for name, part in nested.items():
        inner = normalise_keys(part) if isinstance(part, dict) else {}
        has_confidence = first_value(inner, *CONFIDENCE_KEYS) is not None
        if has_confidence and first_value(inner, *NAME_KEYS) is None:
            yield {"name": name, **inner}
        else:
            yield from _label_items(part, max_depth - 1)
    for name, value in wrapper.items() if not nested else ():
        key = normalise_key(name)
        if isinstance(value, str) and key in _LIST_KEYS:
            yield from (_split_text(part) for part in re.split(r"[,;\n]", value))
        elif not isinstance(value, bool) and key not in _KEYS_THAT_ARE_NO_NAMES:
            is_confidence = read_unit_interval(value) is not None
            yield {"name": name if is_confidence else "", "confidence": value}


def _split_text(text: str) -> dict[str, Json]:
    """Return the fields in ``cat``, ``cat: 0.9`` or ``cat (90%)``."""
    text = text[: 2 * MAX_NAME_CHARACTERS].strip()
    match = _NAME_AND_CONFIDENCE.fullmatch(text)
    return {"name": match[1], "confidence": match[2]} if match else {"name": text}


def _read_label(item: dict[str, Json]) -> Label | None:
    name = read_name(first_value(item, *NAME_KEYS))
    is_short = len(name) <= MAX_NAME_CHARACTERS and len(name.split()) <= MAX_NAME_WORDS
    if name.lower() in _PLACEHOLDERS or not is_short or not re.search(r"[^\W\d_]", name):
        return None
    if is_refusal(name):
        return None
    confidence = read_unit_interval(first_value(item, *CONFIDENCE_KEYS))
    confidence = DEFAULT_CONFIDENCE if confidence is None else confidence
    # PhotoPrism ranks labels by topicality; its own engine uses the confidence where it is 0.
    topicality = read_unit_interval(first_value(item, *_TOPICALITY_KEYS)) or confidence
    categories = tuple(_read_categories(first_value(item, *_CATEGORY_KEYS)))
    return Label(name=name, confidence=confidence, topicality=topicality, categories=categories)


def _read_categories(value: Json) -> dict[str, None]:
    """Return the names in a list, or in a string such as ``animal, pet``, each once."""
    parts = value.split(",") if isinstance(value, str) else value
    names = [read_name(part) for part in parts] if isinstance(parts, list) else []
    return dict.fromkeys(name for name in names if name and len(name) <= MAX_NAME_CHARACTERS)


TASK = LlmTask(
    name=LABELS,
    prompt=PROMPT,
    stricter_prompt=STRICTER_PROMPT,
    schema=SCHEMA,
    images=ImagesPerPrompt.ALL,
    read=lambda text, _: read_labels(text),
    prompt_setting=lambda settings: settings.labels_prompt,
)
