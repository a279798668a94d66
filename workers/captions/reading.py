"""From a model's words to a caption."""

import unicodedata

from shared.text import has_words, one_line
from workers.captions.openings import is_only_opening, without_opening
from workers.captions.repetition import without_loops

MAX_CHARACTERS = 1000
"""Of a caption; a longer one is cut at a sentence, or at a word."""
QUOTES = "\"'\u2018\u2019\u201c\u201d\u00ab\u00bb"
"""Straight and typographic."""
_PLACEHOLDERS = frozenset(
    ("none", "null", "n/a", "unknown", "undefined", "string", "no caption", "no description")
)
_SENTENCE_ENDS = (". ", "! ", "? ", "\u3002", "\u0964")
_JOINERS = "\u200d\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"
"""What makes one character of several, besides combining marks: a joiner, and skin tones."""


class NoCaption(Exception):
    """The text holds no caption; the message continues a sentence that begins with "the model"."""


def read_caption(text: str, *, keep_opening: bool = False) -> str:
    """Return the caption in a text, as one line.

    Args:
        text: what the model wrote, without markup.
        keep_opening: the client has asked for the words that it begins with.

    Raises:
        NoCaption: there are no words, or nothing but repetition.
    """
    written = without_quotes(one_line(text))
    is_placeholder = written.strip(" .!").casefold() in _PLACEHOLDERS
    if not has_words(written) or is_placeholder or is_only_opening(written):
        raise NoCaption("wrote no caption")
    caption = without_loops(written)
    if not has_words(caption):
        raise NoCaption("repeated itself instead of writing a caption")
    return _shortened(caption if keep_opening else without_quotes(without_opening(caption)))


def without_quotes(text: str) -> str:
    """Return a text without the quotes around all of it."""
    while len(text) > 1 and text[0] in QUOTES and text[-1] in QUOTES:
        if text[0] in text[1:-1]:
            break  # these quote parts of it: "Stop" is on a sign that says "go"
        text = text[1:-1].strip()
    return text


def _shortened(text: str) -> str:
    """Return at most :data:`MAX_CHARACTERS` characters of a text, and no half word or emoji."""
    if len(text) <= MAX_CHARACTERS:
        return text
    cut = MAX_CHARACTERS
    while cut and (_joins(text[cut]) or text[cut - 1] == "\u200d"):
        cut -= 1
    head = text[:cut]
    sentence = max(head.rfind(end) + len(end.strip()) for end in _SENTENCE_ENDS)
    if sentence > MAX_CHARACTERS // 2:
        return head[:sentence]
    return head.rpartition(" ")[0] or head


def _joins(character: str) -> bool:
    """Return whether a character belongs to the one before it."""
    return character in _JOINERS or unicodedata.category(character).startswith("M")
