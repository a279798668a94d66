# ruff: noqa: RUF001 - punctuation of many scripts
"""Finds text in which a model repeats itself, and cuts it to what it says."""

import re
import string
import zlib
from typing import NamedTuple

from workers.captions.data import read_lines

MAX_CHARACTERS = 4_000
"""Of a text that is looked at; a longer one is cut first."""
MAX_PERIOD = 100
"""Longest repeated part that is looked for: in words, or in characters of unspaced scripts."""
MIN_COMPRESSED_CHARACTERS = 200
"""A shorter text says too little about how repetitive it is."""
MAX_COMPRESSION = 2.8
"""How many times smaller zlib makes a text that still says something. Whisper takes 2.4 as a sign
of a loop (https://github.com/openai/whisper, ``compression_ratio_threshold``), on longer texts."""
MIN_VARIED_WORDS, MIN_VARIETY = 12, 0.25
"""Of so many words or more, this share must be different ones; in English prose it is 0.7."""
MIN_WORDS, MIN_CHARACTERS = 2, 3
"""What must be left of a loop: words, or characters of unspaced scripts."""

ENDLESS_CHARACTERS, ENDLESS_TIMES = 64, 4
"""Least length of the repetition with which an endless text ends, and least times. Tables, rules,
matrices and choruses repeat less, or something follows them."""
MAX_ENDLESS_PERIOD = 600
"""Longest part of such a repetition, in characters."""

_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Chinese, Japanese
)
_UNIT = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")
_PUNCTUATION = string.punctuation + "\u2018\u2019\u201c\u201d«»…、。！？，；：·–—।؟،"
_IN_WORD = re.compile(rf"([^\s{_UNSPACED}]{{1,30}}?)\1{{4,}}")
_MIN_IN_WORD = 24
"""Characters that a repetition without spaces takes up; shorter ones may be laughter."""
_SENTENCE_END = re.compile(r"(?<=\w\w\w[.!?])\s+|(?<=[。！？।؟])\s*")
"""Three letters: "Mr." ends no sentence."""
_LOOSE_ENDS = frozenset(word for line in read_lines("loose_ends.txt") for word in line.split())
_LOOSE = ",;:-–—、，；和与及的在とやのはがを"


class _Unit(NamedTuple):
    """A word with its punctuation, or a character of a script without spaces."""

    text: str
    start: int
    key: str
    """How it is compared."""
    is_character: bool


def without_loops(text: str) -> str:
    """Return a text in which what is repeated again and again stands once; empty: it says nothing.

    "the cat and the cat and the cat and the" becomes "the cat". What follows a repetition stays.
    Repetitions that people write stay, too: "a red red rose", "New York, New York".

    Args:
        text: one line; at most the first :data:`MAX_CHARACTERS` characters are used.
    """
    text = text[:MAX_CHARACTERS]
    whole, text = text, _IN_WORD.sub(_once, text)
    units = [
        _Unit(match[0], match.start(), match[0].strip(_PUNCTUATION).casefold() or match[0],
              re.fullmatch(f"[{_UNSPACED}]", match[0]) is not None)
        for match in _UNIT.finditer(text)
    ]  # fmt: skip
    kept = _collapse(text, units)
    if kept != whole and not _says_something(kept):
        return ""
    if not _is_repetitive(kept):
        return kept
    first = _SENTENCE_END.split(kept, maxsplit=1)[0]
    return "" if _is_repetitive(first) else first


def without_endless_end(text: str) -> str:
    """Return a text without the loop that it ends with; empty: it says nothing.

    It is for texts whose form counts, such as tables, code and lists: what comes before the line in
    which the loop begins stays as it is, and so do repetitions that something follows.

    Args:
        text: of any length and number of lines.
    """
    start = _start_of_endless_end(text)
    if start < 0:
        return text
    begin = text.rfind("\n", 0, start) + 1
    return (text[:begin] + without_loops(" ".join(text[begin:].split()))).strip()


def _start_of_endless_end(text: str) -> int:
    """Return where the loop begins with which a text ends; -1: it ends with none."""
    longest = min(MAX_ENDLESS_PERIOD, len(text) // ENDLESS_TIMES)
    for period in range(1, longest + 1):
        length = max(ENDLESS_CHARACTERS, ENDLESS_TIMES * period)
        tail = text[-length:]
        if len(tail) == length and tail[period:] == tail[:-period]:
            start = len(text) - length
            while start and text[start - 1] == text[start - 1 + period]:
                start -= 1
            return start + len(text[start:]) - len(text[start:].lstrip())
    return -1


def _once(match: re.Match[str]) -> str:
    return match[1] if len(match[0]) >= _MIN_IN_WORD else match[0]


def _collapse(text: str, units: list[_Unit]) -> str:
    """Return the text with each loop once; one at its end loses the repetition that has begun."""
    parts: list[str] = []
    begin = position = 0
    while position < len(units):
        period, length = _loop_at(units, position)
        if not period:
            position += 1
            continue
        last = units[position + period - 1]
        parts.append(text[begin : last.start])
        position += length
        if position == len(units):
            final = last if length % period else units[-1]
            return _without_loose_end("".join((*parts, final.text)))
        position -= length % period
        final = units[position - 1]  # its punctuation goes on with what follows
        parts.append(final.text)
        begin = final.start + len(final.text)
    return "".join((*parts, text[begin:]))


def _loop_at(units: list[_Unit], start: int) -> tuple[int, int]:
    """Return the period and the length in units of a loop that begins here; zeros: none does."""
    longest = min(MAX_PERIOD, (len(units) - start) // 2)
    for period in range(1, longest + 1):
        end = start
        while end + period < len(units) and units[end].key == units[end + period].key:
            end += 1
        length = end - start + period
        if length // period >= _least_repetitions(period, units[start].is_character):
            return period, length
    return 0, 0


def _least_repetitions(period: int, is_character: bool) -> int:  # noqa: FBT001
    """Return how often a part is repeated in a loop, and hardly ever by people."""
    if is_character:
        return {1: 8, 2: 5}.get(period, 4 if period < 6 else 3 if period < 12 else 2)
    return 5 if period == 1 else 3 if period < 5 else 2


def _without_loose_end(text: str) -> str:
    """Return the whole sentences of a text that a loop ends, else its words up to a noun."""
    if text.endswith(tuple(".!?。！？।؟")):
        return text
    *whole, fragment = _SENTENCE_END.split(text)
    if whole:
        return text.removesuffix(fragment).strip()
    words = text.split()
    while words and words[-1].strip(_PUNCTUATION).casefold() in {*_LOOSE_ENDS, ""}:
        words.pop()
    return " ".join(words).rstrip(_LOOSE)


def _says_something(text: str) -> bool:
    units = _UNIT.findall(text)
    characters = sum(re.fullmatch(f"[{_UNSPACED}]", unit) is not None for unit in units)
    words = sum(any(map(str.isalnum, unit)) for unit in units) - characters
    return words >= MIN_WORDS or characters >= MIN_CHARACTERS


def _is_repetitive(text: str) -> bool:
    """Return whether a text has hardly any words, or is a loop with variations.

    zlib makes such a loop very small.
    """
    text = re.sub(r"\b\d+\b", "0", text.casefold())  # a model that counts repeats itself, too
    words = text.split()
    if len(words) >= MIN_VARIED_WORDS and len(set(words)) <= len(words) * MIN_VARIETY:
        return True
    if len(text) < MIN_COMPRESSED_CHARACTERS:
        return False
    # One byte for each character, so that scripts do not differ.
    codes = {character: code for code, character in enumerate(dict.fromkeys(text))}
    if len(codes) > 256:
        return False
    data = bytes(codes[character] for character in text)
    return len(data) / len(zlib.compress(data, 9)) > MAX_COMPRESSION
