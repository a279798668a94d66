"""Reads what LLMs write when they were asked for JSON, numbers and names."""

import json
import math
import re
from itertools import accumulate
from typing import TypeAlias

import json_repair

from shared.units import clamp01

Json: TypeAlias = "dict[str, Json] | list[Json] | str | float | bool | None"

MOST_CHARACTERS = 16_000
"""Of an answer; what is longer is a model that repeats itself, and repairing takes its time."""

MOST_TO_MEND = 4_000
"""Of JSON that is broken; more of it keeps the mending busy for seconds."""
MOST_BRACKETS = 32
"""That are open at a time."""
LONGEST_NUMBER = 40
DEEPEST = 8
"""How far answers are searched: what is nested deeper is none."""

MOST_THOUGHT = 200_000
"""Characters of thoughts and answer together."""

SHARE_SCHEMA = {"type": "number", "minimum": 0, "maximum": 1}
NAMES = ("name", "label", "labelname", "tag", "title", "object", "class", "keyword", "text")
CONFIDENCES = ("confidence", "confidencescore", "score", "probability", "certainty", "conf")

QUOTES = "\"'\u2018\u2019\u201c\u201d\u00ab\u00bb"
"""Straight and typographic."""

_THOUGHT = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)
_TOKEN = re.compile(r"<\|\w+\|>")
"""Marks of a model's template."""
_THOUGHT_END = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
_BARE_PERCENT = re.compile(r"(:\s*)(\d+(?:\.\d+)?\s*%)")
_JSON_LINES = re.compile(r"\}[ \t\r]*\n\s*\{")
_NUMBER = re.compile(r"([-+]?\d*\.?\d+(?:e[-+]?\d+)?)\s*(%|/\s*\d+(?:\.\d+)?)?", re.IGNORECASE)
_WORDS = {
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
    """The answer says nothing that could be used; the message tells why."""


def printable(text: str) -> str:
    """Return the text without control characters and halves of characters: neither is UTF-8."""
    return "".join(one for one in text if one.isprintable() or one.isspace())


def without_thoughts(text: str) -> str:
    """Return the answer without what the model thought before it.

    The opening tag may be missing, when it belongs to the model's template, and the closing one,
    when the model ran out of tokens: then there is no answer.
    """
    text = _TOKEN.sub("", printable(text[:MOST_THOUGHT]))
    text = _THOUGHT.sub("", text)
    return _THOUGHT_END.split(text)[-1].strip()[:MOST_CHARACTERS]


def read_json(text: str) -> Json:
    """Return the JSON in a text, mended; an empty string when there is none.

    Several values come as a list. NaN and infinity are possible, as in Python's own JSON.
    """
    # Without quotes `1%` is read as 1, the whole.
    mended = _BARE_PERCENT.sub(r'\1"\2"', without_thoughts(text))
    # Of objects on lines of their own only the last would be kept.
    mended = _JSON_LINES.sub("},{", mended)
    try:
        whole: Json = json.loads(mended)
    except (RecursionError, ValueError):
        pass
    else:
        return whole
    if not re.search(r"[:\"']", mended):
        return ""  # prose with brackets in it, which mending would make values of
    if max(accumulate(map(_step, mended)), default=0) > MOST_BRACKETS:
        return ""  # no answer; to mend it takes seconds
    try:
        value: Json = json_repair.loads(mended[:MOST_TO_MEND])  # type: ignore[assignment]
    except (RecursionError, ValueError):
        return ""  # brackets by the thousand, or digits
    return value


def _step(character: str) -> int:
    return (character in "{[") - (character in "}]")


def key(name: str) -> str:
    """Return a key as it is compared: ``NSFW Confidence`` is ``nsfw_confidence``."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def fields(item: dict[str, Json]) -> dict[str, Json]:
    """Return an object under comparable keys; of two that are the same the first counts."""
    found: dict[str, Json] = {}
    for name, value in item.items():
        found.setdefault(key(name), value)
    return found


def first(item: dict[str, Json], *names: str) -> Json:
    """Return the first of the named fields that is there and not null."""
    return next((item[name] for name in names if item.get(name) is not None), None)


def read_share(value: Json) -> float | None:
    """Return a number, percentage, ``8/10`` or ``high`` as 0 to 1; None when it is none of them.

    More than 1 is a percentage, but for what rounding makes of 1.
    """
    if isinstance(value, str):
        return _share_of_text(value.strip().lower())
    if not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # an integer of hundreds of digits
        return None
    if not math.isfinite(number):
        return None
    return clamp01(number / 100 if number > 1.5 else number)


def _share_of_text(text: str) -> float | None:
    if text in _WORDS:
        return _WORDS[text]
    match = _NUMBER.fullmatch(text[:LONGEST_NUMBER])
    if match is None or len(text) > LONGEST_NUMBER:
        return None
    number, unit = match.groups()
    if unit is None:
        return read_share(float(number))
    whole = 100.0 if unit == "%" else float(unit.lstrip("/ "))
    return clamp01(float(number) / whole) if whole else None


def read_flag(value: Json) -> bool | None:
    """Return true or false, also from ``yes`` and ``no``; None when it is neither."""
    if isinstance(value, str):
        return _FLAGS.get(value.strip(" .!").lower())
    return value if isinstance(value, bool) else None


def read_name(value: Json) -> str:
    """Return the name of a thing without list markers, quotes and formatting; maybe empty."""
    if not isinstance(value, str):
        return ""
    text = re.sub(r"^\s*(?:[-*•#]+|\d+[.)])\s+", "", printable(value)).replace("_", " ")
    return " ".join(text.strip(" \t\r\n`*.,;:!?()[]{}<>" + QUOTES).split())
