"""Turns what an LLM wrote about an image into labels."""

import re
from collections.abc import Iterator
from typing import Any

from shared.tasks.labels import Label
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
    read_json,
    read_name,
    read_share,
)

LABELS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "labels": {
            "type": "array",
            "minItems": 1,
            "maxItems": 20,
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "minLength": 1},
                    "confidence": SHARE_SCHEMA,
                    "topicality": SHARE_SCHEMA,
                },
                "required": ["name", "confidence", "topicality"],
            },
        }
    },
    "required": ["labels"],
}
"""What is sent as ``format`` for labels; the fields are PhotoPrism's."""
MOST_LABELS = 50
LONGEST_NAME = 64
MOST_WORDS = 4
"""A name of more words is a sentence."""
DEFAULT_CONFIDENCE = 0.5
"""Where none is said; PhotoPrism's own Ollama engine takes the same."""

_TOPICALITY = ("topicality", "relevance", "importance")
_CATEGORIES = ("categories", "category")
_NO_NAMES = {"", "...", "…", "string", "none", "null", "unknown", "nsfw", "na", "n/a"}
_NAME_AND_SHARE = re.compile(r"(.+?)\s*[:(=\u2013-]\s*([\d.]+\s*%?)\s*\)?")

_NOT_NAMES = {*CONFIDENCES, *_TOPICALITY, "nsfwconfidence", "nsfwscore"}
_LISTS = ("labels", "tags", "keywords")


def read_labels(text: str) -> tuple[Label, ...]:
    """Return the labels in an answer, the surest first, each name once.

    Raises:
        UnusableAnswer: When there is not one.
    """
    answer = read_json(text)
    items = () if isinstance(answer, str) else _label_items(answer, DEEPEST)
    labels = [label for item in items if (label := _label(item))]
    # Zero throughout is the form of the question, repeated; among others it means "not there".
    if any(label.confidence for label in labels):
        labels = [label for label in labels if label.confidence]
    else:
        labels = [_with_defaults(label) for label in labels]
    if not labels:
        raise UnusableAnswer("the model named no labels")
    merged: dict[str, Label] = {}
    for label in sorted(labels, key=lambda label: -label.confidence):
        merged.setdefault(label.name.casefold(), label)
    return tuple(merged.values())[:MOST_LABELS]


def _with_defaults(label: Label) -> Label:
    topicality = label.topicality or DEFAULT_CONFIDENCE
    update = {"confidence": DEFAULT_CONFIDENCE, "topicality": topicality}
    return label.model_copy(update=update)


def _label_items(value: Json, deepest: int) -> Iterator[dict[str, Json]]:
    """Yield everything that could be one label, wherever it is nested."""
    if deepest == 0:
        return
    if isinstance(value, str):
        yield _named(value)
    elif isinstance(value, list):
        for item in value:
            yield from _label_items(item, deepest - 1)
    elif isinstance(value, dict):
        known = fields(value)
        if isinstance(first(known, *NAMES), str) and not _is_wrapper(known):
            yield known
        else:
            yield from _wrapped_items(value, deepest)


def _is_wrapper(item: dict[str, Json]) -> bool:
    """Say whether an object with a name is a whole answer, with a title: it has a list in it."""
    lists = {name: value for name, value in item.items() if isinstance(value, list)}
    has_objects = any(isinstance(part, dict) for value in lists.values() for part in value)
    return has_objects or not lists.keys().isdisjoint(_LISTS)


def _wrapped_items(wrapper: dict[str, Json], deepest: int) -> Iterator[dict[str, Json]]:
    """Yield labels from ``{"labels": …}``, ``{"cat": 0.9}`` and ``{"cat": {"score": 0.9}}``."""
    nested = {name: value for name, value in wrapper.items() if isinstance(value, dict | list)}
    for name, part in nested.items():
        inner = fields(part) if isinstance(part, dict) else {}
        if first(inner, *CONFIDENCES) is not None and first(inner, *NAMES) is None:
            yield {"name": name, **inner}
        else:
            yield from _label_items(part, deepest - 1)
    for name, value in wrapper.items() if not nested else ():
        if isinstance(value, str) and key(name) in _LISTS:
            yield from (_named(part) for part in re.split(r"[,;\n]", value))
        elif not isinstance(value, bool) and key(name) not in _NOT_NAMES:
            yield {"name": name if read_share(value) is not None else "", "confidence": value}


def _named(text: str) -> dict[str, Json]:
    """Return a label of ``cat``, ``cat: 0.9`` or ``cat (90%)``."""
    text = text[: 2 * LONGEST_NAME].strip()
    match = _NAME_AND_SHARE.fullmatch(text)
    return {"name": match[1], "confidence": match[2]} if match else {"name": text}


def _label(item: dict[str, Json]) -> Label | None:
    name = read_name(first(item, *NAMES))
    is_name = len(name) <= LONGEST_NAME and len(name.split()) <= MOST_WORDS
    if name.lower() in _NO_NAMES or not is_name or not re.search(r"[^\W\d_]", name):
        return None
    confidence = read_share(first(item, *CONFIDENCES))
    confidence = DEFAULT_CONFIDENCE if confidence is None else confidence
    # PhotoPrism ranks labels by topicality; its own engine takes the confidence where it is 0.
    topicality = read_share(first(item, *_TOPICALITY)) or confidence
    categories = tuple(_categories(first(item, *_CATEGORIES)))
    return Label(name=name, confidence=confidence, topicality=topicality, categories=categories)


def _categories(value: Json) -> dict[str, None]:
    """Return names from a list or from ``animal, pet``, each once."""
    parts = value.split(",") if isinstance(value, str) else value
    names = [read_name(part) for part in parts] if isinstance(parts, list) else []
    return dict.fromkeys(name for name in names if name and len(name) <= LONGEST_NAME)
