"""Reads what language models write when they are asked for JSON, numbers and names."""

import json
import math
import re
from itertools import accumulate
from typing import TypeAlias

import json_repair

from shared.messages import JsonObject
from shared.text import clean
from shared.units import clamp01
from workers.captions.reading import QUOTES
from workers.captions.thoughts import without_thoughts

Json: TypeAlias = "dict[str, Json] | list[Json] | str | float | bool | None"

MAX_ANSWER_CHARACTERS = 16_000
"""A longer answer is a model that repeats itself; parsing all of it would take long."""
MAX_THINKING_CHARACTERS = 200_000
"""Of thinking and answer together."""
MAX_REPAIR_CHARACTERS = 4_000
"""Of broken JSON; repairing more of it takes seconds."""
MAX_OPEN_BRACKETS = 32
"""Of broken JSON; with more of them open at a time, repairing takes seconds."""
MAX_NUMBER_CHARACTERS = 40
MAX_DEPTH = 8
"""How deep answers are searched: what is nested deeper is not taken for an answer."""

UNIT_INTERVAL_SCHEMA: JsonObject = {"type": "number", "minimum": 0, "maximum": 1}
NAME_KEYS = ("name", "label", "labelname", "tag", "title", "object", "class", "keyword", "text")
CONFIDENCE_KEYS = ("confidence", "confidencescore", "score", "probability", "certainty", "conf")
"""Keys that models use for a name and a confidence, normalised by :func:`normalise_key`."""

_SPECIAL_TOKEN = re.compile(r"<\|\w+\|>")
"""From a model's chat template."""
_BARE_PERCENT = re.compile(r"(:\s*)(\d+(?:\.\d+)?\s*%)")
_JSON_LINES = re.compile(r"\}[ \t\r]*\n\s*\{")
_NUMBER = re.compile(r"([-+]?\d*\.?\d+(?:e[-+]?\d+)?)\s*(%|/\s*\d+(?:\.\d+)?)?", re.IGNORECASE)
_CONFIDENCES = {
    "certain": 1.0,
    "very high": 0.95,
    "high": 0.85,
    "likely": 0.75,
    "medium": 0.5,
    "moderate": 0.5,
    "low": 0.25,
    "unlikely": 0.2,
    "very low": 0.05,
    "none": 0.0,
}
_FLAGS = {"true": True, "yes": True, "false": False, "no": False}


class UnusableAnswer(Exception):
    """The answer contains nothing that can be used; the message says why."""


def answer_alone(text: str) -> str:
    """Return the answer without the thinking before it, and without special tokens."""
    text = _SPECIAL_TOKEN.sub("", clean(text[:MAX_THINKING_CHARACTERS]))
    return without_thoughts(text)[:MAX_ANSWER_CHARACTERS]


def read_json(text: str) -> Json:
    """Return the JSON in a text, repaired if need be; an empty string when there is none.

    Several values are returned as a list. NaN and infinity are possible, as in Python's own JSON.
    """
    answer = answer_alone(text)
    try:
        value: Json = json.loads(answer)
    except (RecursionError, ValueError):
        # json_repair reads an unquoted `1%` as 1, which would be 100%.
        answer = _BARE_PERCENT.sub(r'\1"\2"', answer)
        # It keeps only the last of several objects on lines of their own.
        return _repair_json(_JSON_LINES.sub("},{", answer))
    return value


def _repair_json(text: str) -> Json:
    """Return the JSON in a text that is not valid JSON; an empty string when there is none."""
    if not re.search(r"[:\"']", text):
        return ""  # prose with brackets, in which json_repair would find values
    if max(accumulate(map(_bracket_step, text)), default=0) > MAX_OPEN_BRACKETS:
        return ""
    try:
        value: Json = json_repair.loads(text[:MAX_REPAIR_CHARACTERS])  # type: ignore[assignment]
    except (RecursionError, ValueError):
        return ""  # thousands of brackets or digits
    return value


def _bracket_step(character: str) -> int:
    return (character in "{[") - (character in "}]")


def normalise_key(name: str) -> str:
    """Return a key as it is compared: ``NSFW Confidence`` equals ``nsfw_confidence``."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def normalise_keys(item: dict[str, Json]) -> dict[str, Json]:
    """Return an object with normalised keys; of several equal keys the first counts."""
    normalised: dict[str, Json] = {}
    for name, value in item.items():
        normalised.setdefault(normalise_key(name), value)
    return normalised


def first_value(item: dict[str, Json], *keys: str) -> Json:
    """Return the value of the first key that is there and not null, else ``None``."""
    return next((item[key] for key in keys if item.get(key) is not None), None)


def read_unit_interval(value: Json) -> float | None:
    """Return a number, percentage, ``8/10`` or ``high`` as 0 to 1; ``None``: it is none of them.

    Numbers above 1.5 are percentages; those between 1 and 1.5 are 1 with rounding errors.
    """
    if isinstance(value, str):
        return _unit_interval_of_text(value.strip().lower())
    if not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # an integer of hundreds of digits
        return None
    if not math.isfinite(number):
        return None
    return clamp01(number / 100 if number > 1.5 else number)


def _unit_interval_of_text(text: str) -> float | None:
    if text in _CONFIDENCES:
        return _CONFIDENCES[text]
    match = _NUMBER.fullmatch(text[:MAX_NUMBER_CHARACTERS])
    if match is None or len(text) > MAX_NUMBER_CHARACTERS:
        return None
    number, unit = match.groups()
    if unit is None:
        return read_unit_interval(float(number))
    whole = 100.0 if unit == "%" else float(unit.lstrip("/ "))
    return clamp01(float(number) / whole) if whole else None


def read_flag(value: Json) -> bool | None:
    """Return true or false, also from ``yes`` and ``no``; ``None``: it is neither."""
    if isinstance(value, str):
        return _FLAGS.get(value.strip(" .!").lower())
    return value if isinstance(value, bool) else None


def read_name(value: Json) -> str:
    """Return the name of a thing without list markers, quotes and formatting; may be empty."""
    if not isinstance(value, str):
        return ""
    text = re.sub(r"^\s*(?:[-*•#]+|\d+[.)])\s+", "", clean(value)).replace("_", " ")
    return " ".join(text.strip(" \t\r\n`*.,;:!?()[]{}<>" + QUOTES).split())
