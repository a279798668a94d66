"""The task ``caption``: prompts, and how a caption is read from the answer."""

import re

from shared.tasks import CAPTION
from shared.tasks.caption import Caption
from workers.captions.openings import without_preamble
from workers.captions.reading import NoCaption, read_caption, without_quotes
from workers.captions.refusals import is_refusal
from workers.llm.lenient_parsing import (
    MAX_DEPTH,
    Json,
    UnusableAnswer,
    answer_alone,
    first_value,
    normalise_keys,
    read_json,
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
_KEYS = ("caption", "description", "text", "sentence", "response", "answer", "result", "content")
"""Keys of a caption in JSON that was not asked for, normalised."""
_HEADING = re.compile(r"^#{1,6}\s.*$", re.MULTILINE)
_FENCE = re.compile(r"```[a-zA-Z]*\n?")
_BEFORE_JSON = re.compile(r"\A[^{}\[\]\n]{0,200}:\s*(?=\{\s*\")")
"""A sentence that says that JSON follows."""
_LIST_MARKER = re.compile(r"\A(?:[#>]+|[-*•+]|\d+[.)])\s+")
_EMPHASIS = re.compile(r"(\*\*|__|`|(?<!\w)[*_](?=\S)|(?<=\S)[*_](?!\w))")


def read_answer(text: str) -> Caption:
    """Return the caption in an answer, as one line without formatting.

    Raises:
        UnusableAnswer: the answer has none, or is a refusal.
    """
    answer = _BEFORE_JSON.sub("", _FENCE.sub("", answer_alone(text)).strip())
    if answer.startswith(("{", "[")):
        answer = _find_text(read_json(answer), MAX_DEPTH)
    answer = _HEADING.sub("", answer).strip() or answer
    written = _first_sentence(re.split(r"\n\s*\n", answer))
    try:
        caption = read_caption(written)
    except NoCaption as err:
        raise UnusableAnswer(f"the model {err}") from err
    if is_refusal(written) or is_refusal(caption):
        raise UnusableAnswer("the model refused to write a caption")
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
    kept = [without_preamble(_LIST_MARKER.sub("", line, count=1)) for line in items or lines]
    kept = [line for line in kept if line and not line.endswith(":")]
    return without_quotes(" ".join(" ".join(kept[:1] if items else kept).split()))


TASK = LlmTask(
    name=CAPTION,
    prompt=PROMPT,
    stricter_prompt=STRICTER_PROMPT,
    images=ImagesPerPrompt.FIRST,
    read=lambda text, _: read_answer(text),
    prompt_setting=lambda settings: settings.caption_prompt,
)
