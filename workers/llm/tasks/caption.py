"""The task ``caption``: prompts, and how a caption is read from the answer."""

import re

from shared.tasks import CAPTION
from shared.tasks.caption import Caption
from workers.llm.lenient_parsing import (
    MAX_DEPTH,
    QUOTES,
    Json,
    UnusableAnswer,
    first_value,
    normalise_keys,
    read_json,
    without_thoughts,
)
from workers.llm.task import ImagesPerPrompt, LlmTask

PROMPT = (
    "Describe this photo in one plain sentence of at most 25 words. Start with what matters most "
    "and say what it does or where it is. Mention only what can be seen. Reply with the sentence "
    "alone."
)
STRICTER_PROMPT = (
    "Write exactly one sentence about what can be seen. No introduction, no explanation, no "
    "formatting, no refusal. Do not leave the answer empty."
)
MAX_CHARACTERS = 1000
"""Of a caption; a longer one is cut at a word."""

_KEYS = ("caption", "description", "text", "sentence", "response", "answer", "result", "content")
"""Keys of a caption in JSON that was not asked for, normalised."""
_HEADING = re.compile(r"^#{1,6}\s.*$", re.MULTILINE)
_FENCE = re.compile(r"```[a-zA-Z]*\n?")
_GREETING = r"(?:sure|certainly|of course|absolutely|okay|ok|great)[!,.:]+\s*"
_SUBJECT = r"(?:caption|description|answer|sentence)"
_ANNOUNCEMENT = (
    rf"(?:here\b[^:\n]*\b(?:{_SUBJECT}|image|photo|picture|what)"
    rf"|(?:the |a |an |your |image |photo |possible |short )*{_SUBJECT})\b[^:\n]{{0,80}}:"
)
_PREAMBLE = re.compile(rf"\s*(?:{_GREETING})?(?:{_ANNOUNCEMENT})?\s*", re.IGNORECASE)
_LIST_MARKER = re.compile(r"\A(?:[#>]+|[-*•+]|\d+[.)])\s+")
_EMPHASIS = re.compile(r"(\*\*|__|`|(?<!\w)[*_](?=\S)|(?<=\S)[*_](?!\w))")
_REFUSAL = re.compile(
    r"(?:i'?\s?a?m (?:very |really )?(?:sorry|unable|not able)|sorry\b"
    r"|i (?:can'?t|cannot|can not)\b|as an? (?:ai|language model)\b|unfortunately, i\b)",
    re.IGNORECASE,
)


def read_caption(text: str) -> Caption:
    """Return the caption in an answer, as one line without formatting.

    Raises:
        UnusableAnswer: the answer has none, or is a refusal.
    """
    answer = _FENCE.sub("", without_thoughts(text)).strip()
    if answer.startswith(("{", "[")):
        answer = _find_text(read_json(answer), MAX_DEPTH)
    answer = _HEADING.sub("", answer).strip() or answer
    caption = _first_sentence(re.split(r"\n\s*\n", answer))
    if not re.search(r"\w", caption):
        raise UnusableAnswer("the model wrote no caption")
    if _REFUSAL.match(caption.replace("\u2019", "'")):
        raise UnusableAnswer("the model refused to write a caption")
    if len(caption) > MAX_CHARACTERS:
        caption = caption[:MAX_CHARACTERS].rpartition(" ")[0] or caption[:MAX_CHARACTERS]
    return Caption(text=caption)


def _find_text(value: Json, max_depth: int) -> str:
    """Return the text under one of the usual keys, else the first text there is."""
    if isinstance(value, str) or not max_depth:
        return value if isinstance(value, str) else ""
    parts: list[Json] = []
    if isinstance(value, dict):
        parts = [first_value(normalise_keys(value), *_KEYS), *value.values()]
    elif isinstance(value, list):
        parts = value
    return next((text for part in parts if (text := _find_text(part, max_depth - 1))), "")


def _first_sentence(paragraphs: list[str]) -> str:
    """Return the first paragraph of at least three words, else the first that is not empty."""
    plain = [text for paragraph in paragraphs if (text := _plain_text(paragraph))]
    return next((text for text in plain if len(text.split()) >= 3), plain[0] if plain else "")


def _plain_text(paragraph: str) -> str:
    """Return a paragraph in one line without its preamble, list markers, emphasis and quotes.

    Of a list, which offers several captions, the first item is taken.
    """
    lines = [line.strip() for line in _EMPHASIS.sub("", paragraph).splitlines()]
    items = [line for line in lines if _LIST_MARKER.match(line)]
    kept = [
        _PREAMBLE.sub("", _LIST_MARKER.sub("", line, count=1), count=1) for line in items or lines
    ]
    kept = [line for line in kept if line and not line.endswith(":")]
    return _without_quotes(" ".join(" ".join(kept[:1] if items else kept).split()))


def _without_quotes(text: str) -> str:
    """Return a text without the quotes around all of it."""
    while len(text) > 1 and text[0] in QUOTES and text[-1] in QUOTES:
        if text[0] in text[1:-1]:
            break  # these quote parts of it: "Stop" is on a sign that says "go"
        text = text[1:-1].strip()
    return text


TASK = LlmTask(
    name=CAPTION,
    prompt=PROMPT,
    stricter_prompt=STRICTER_PROMPT,
    images=ImagesPerPrompt.FIRST,
    read=lambda text, _: read_caption(text),
    prompt_setting=lambda settings: settings.caption_prompt,
)
