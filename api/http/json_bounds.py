"""Bounds of JSON, checked in its text, before Python's values are made of it.

A value of two bytes, as ``{}``, takes 72 bytes and more once it is parsed, and most of what is done
with it afterwards holds the interpreter's lock. So JSON is refused by what it has beside its
images, whose text costs little. It is looked at in pieces, between which other threads run.
"""

import re
from collections.abc import Iterator

from shared.errors import TooLarge
from shared.units import MEGA

MAX_VALUES = 200_000
"""Values in arrays and objects: Ollama's ``context`` has one for each token of a conversation."""
MAX_CONTAINERS = 20_000
"""Arrays and objects: messages of a chat, and what JSON schemas and tools consist of."""
MAX_TEXT = 4 * MEGA
"""Bytes of text beside images. The largest contexts of language models, a million tokens, are about
as much; and in a string with an emoji, Python takes four bytes for each character."""
MAX_BESIDE_STRINGS = 16 * MEGA
"""Bytes of punctuation, numbers and white space, of which indented JSON has most."""
MAX_ESCAPES = 3_000_000
"""Backslashes: 64 MB from PHP, which writes the slashes of base64 as ``\\/``, have a million, and
1.7 million more if there are line breaks in the base64."""
MAX_ESCAPED_QUOTES = 1_000_000
"""Quotation marks in strings: JSON that is quoted in a prompt has most."""
_PIECE = 1 << 20
"""Bytes that are looked at at once: a millisecond."""
_BACKSLASH = ord("\\")
_BEYOND_ASCII = re.compile(rb"\\u(?!00[0-7])[0-9a-fA-F]{4}")


def check_bounds(data: bytes, name: str) -> list[slice]:
    """Check the text of a JSON value; return where its strings are that have non-ASCII escapes.

    Args:
        data: the text in UTF-8; whether it is JSON is not looked at.
        name: what it is, for the message.

    Raises:
        TooLarge: parsing it would cost too much; the message says what there is too much of.
    """
    escapes = sum(data.count(b"\\", start, end) for start, end in _pieces(0, len(data)))
    _limit(escapes, MAX_ESCAPES, "backslashes", name)
    is_ascii = data.isascii()
    beside, wide, ends_at = bytearray(), 0, 0
    escaped = []
    for start, end in _strings(data, name):
        beside += data[ends_at:start]
        ends_at = end
        if escapes and _has_escapes_beyond_ascii(data, start, end):
            escaped.append(slice(start, end))
        elif is_ascii or _is_ascii(data, start, end):
            continue
        wide += end - start
        _limit(wide, MAX_TEXT, "bytes of text beyond ASCII", name)
    _limit(len(beside) + len(data) - ends_at, MAX_BESIDE_STRINGS, "bytes beside strings", name)
    beside += data[ends_at:]
    containers = beside.count(b"{") + beside.count(b"[")
    _limit(containers, MAX_CONTAINERS, "arrays and objects", name)
    _limit(containers + beside.count(b","), MAX_VALUES, "values", name)
    return escaped


def check_text(fields: object) -> None:
    """Raise an error if there is too much text in a parsed JSON value without its images.

    Raises:
        TooLarge: there is.
    """
    left, length = [fields], 0
    while left:
        match left.pop():
            case str() as text:
                length += len(text) if text.isascii() else len(text.encode())
            case dict() as members:
                left += members.keys()
                left += members.values()
            case list() | tuple() as elements:
                left += elements
    _limit(length, MAX_TEXT, "bytes of text beside its images", "The request")


def _limit(count: int, limit: int, of_what: str, name: str) -> None:
    if count > limit:
        raise TooLarge(f"{name} has more than {limit:,} {of_what}, which is the limit.")


def _strings(data: bytes, name: str) -> Iterator[tuple[int, int]]:
    """Yield where strings begin and end, without their quotation marks; the last may be open."""
    strings = escaped_quotes = 0
    start = data.find(b'"')
    while start >= 0:
        strings += 1
        _limit(strings, 2 * MAX_VALUES, "strings", name)  # in an object, names and values
        end = data.find(b'"', start + 1)
        while end >= 0 and _is_escaped(data, end):
            escaped_quotes += 1
            _limit(escaped_quotes, MAX_ESCAPED_QUOTES, "quotation marks in its strings", name)
            end = data.find(b'"', end + 1)
        end = len(data) if end < 0 else end
        yield start + 1, end
        start = data.find(b'"', end + 1)


def _is_escaped(data: bytes, quote: int) -> bool:
    """Return whether an odd number of backslashes stands before the quotation mark of a string."""
    first = quote
    while data[first - 1] == _BACKSLASH:
        first -= 1
    return (quote - first) % 2 == 1


def _is_ascii(data: bytes, start: int, end: int) -> bool:
    return all(data[first:last].isascii() for first, last in _pieces(start, end))


def _has_escapes_beyond_ascii(data: bytes, start: int, end: int) -> bool:
    pieces = _pieces(start, end, overlap=len(r"\u0000"))
    return any(_BEYOND_ASCII.search(data, first, last) for first, last in pieces)


def _pieces(start: int, end: int, overlap: int = 0) -> Iterator[tuple[int, int]]:
    for first in range(start, end, _PIECE):
        yield first, min(end, first + _PIECE + overlap)
