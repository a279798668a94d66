"""Turns what an LLM wrote about an image into one caption."""

import re

from shared.tasks.caption import Caption
from workers.llm.lenient_parsing import (
    DEEPEST,
    QUOTES,
    Json,
    UnusableAnswer,
    fields,
    first,
    read_json,
    without_thoughts,
)

LONGEST = 1000
"""Characters of a caption; a model that goes on is cut at a word."""

_KEYS = ("caption", "description", "text", "sentence", "response", "answer", "result", "content")
_HEADING = re.compile(r"^#{1,6}\s.*$", re.MULTILINE)
_FENCE = re.compile(r"```[a-zA-Z]*\n?")
_GREETING = r"(?:sure|certainly|of course|absolutely|okay|ok|great)[!,.:]+\s*"
_SUBJECT = r"(?:caption|description|answer|sentence)"
_ANNOUNCEMENT = (
    rf"(?:here\b[^:\n]*\b(?:{_SUBJECT}|image|photo|picture|what)"
    rf"|(?:the |a |an |your |image |photo |possible |short )*{_SUBJECT})\b[^:\n]{{0,80}}:"
)
_PREAMBLE = re.compile(rf"\s*(?:{_GREETING})?(?:{_ANNOUNCEMENT})?\s*", re.IGNORECASE)
_MARKER = re.compile(r"\A(?:[#>]+|[-*•+]|\d+[.)])\s+")
_EMPHASIS = re.compile(r"(\*\*|__|`|(?<!\w)[*_](?=\S)|(?<=\S)[*_](?!\w))")
_REFUSAL = re.compile(
    r"(?:i'?\s?a?m (?:very |really )?(?:sorry|unable|not able)|sorry\b"
    r"|i (?:can'?t|cannot|can not)\b|as an? (?:ai|language model)\b|unfortunately, i\b)",
    re.IGNORECASE,
)


def read_caption(text: str) -> Caption:
    """Return the caption in an answer, as one line without formatting.

    Raises:
        UnusableAnswer: When there is none, or the model refused.
    """
    spoken = _FENCE.sub("", without_thoughts(text)).strip()
    if spoken.startswith(("{", "[")):
        spoken = _text_in(read_json(spoken), DEEPEST)
    spoken = _HEADING.sub("", spoken).strip() or spoken
    caption = _first_sentence_like(re.split(r"\n\s*\n", spoken))
    if not re.search(r"\w", caption):
        raise UnusableAnswer("the model wrote no caption")
    if _REFUSAL.match(caption.replace("\u2019", "'")):
        raise UnusableAnswer("the model refused to write a caption")
    if len(caption) > LONGEST:
        caption = caption[:LONGEST].rpartition(" ")[0] or caption[:LONGEST]
    return Caption(text=caption)


def _text_in(value: Json, deepest: int) -> str:
    """Return the text under a key like ``caption``, else the first there is."""
    if isinstance(value, str) or not deepest:
        return value if isinstance(value, str) else ""
    parts: list[Json] = []
    if isinstance(value, dict):
        parts = [first(fields(value), *_KEYS), *value.values()]
    elif isinstance(value, list):
        parts = value
    return next((text for part in parts if (text := _text_in(part, deepest - 1))), "")


def _first_sentence_like(paragraphs: list[str]) -> str:
    """Return the first paragraph of three words, else the first that says something."""
    plain = [text for paragraph in paragraphs if (text := _plain(paragraph))]
    return next((text for text in plain if len(text.split()) >= 3), plain[0] if plain else "")


def _plain(paragraph: str) -> str:
    """Return a paragraph in one line without its preamble, markers, emphasis and quotes.

    Of a list of proposals the first is taken.
    """
    lines = [line.strip() for line in _EMPHASIS.sub("", paragraph).splitlines()]
    marked = [line for line in lines if _MARKER.match(line)]
    said = [_PREAMBLE.sub("", _MARKER.sub("", line, count=1), count=1) for line in marked or lines]
    said = [line for line in said if line and not line.endswith(":")]
    return _unquoted(" ".join(" ".join(said[:1] if marked else said).split()))


def _unquoted(text: str) -> str:
    """Return a text without quotes around all of it."""
    while len(text) > 1 and text[0] in QUOTES and text[-1] in QUOTES:
        if text[0] in text[1:-1]:
            break  # quotes of parts: "Stop" is on a sign that says "go"
        text = text[1:-1].strip()
    return text
