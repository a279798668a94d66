"""What captions consist of: words, repetitions, damaged characters."""

import re
import unicodedata
from collections import Counter
from collections.abc import Hashable
from collections.abc import Set as AbstractSet

_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Chinese, Japanese
)
_WORD = re.compile(rf"[{_UNSPACED}]+|(?:(?![{_UNSPACED}])[^\W_])+")
_SENTENCE_END = re.compile(r"[.!?。！？।؟]+\s*")
RUN, RUNS = 4, 3
"""So many words in a row, so often in one text, are a repetition that people hardly write."""
SENTENCE_WORDS = 3
"""Shorter sentences may well stand twice in a text."""
REPLACEMENT = "\ufffd"
"""What stands for bytes that are no text."""


def words(text: str) -> list[str]:
    """Return the words of a text in lower case.

    Of scripts that write no spaces, each two characters that follow each other count as one.
    """
    found = []
    for word in _WORD.findall(text.casefold()):
        if re.match(rf"[{_UNSPACED}]", word) and len(word) > 1:
            found += [word[place : place + 2] for place in range(len(word) - 1)]
        else:
            found.append(word)
    return found


def repeats_itself(text: str) -> bool:
    """Return whether a text says the same thing again and again.

    It does with :data:`RUN` words in a row that stand in it :data:`RUNS` times, or with a sentence
    of three words or more that stands in it twice.
    """
    sentences = [tuple(words(sentence)) for sentence in _SENTENCE_END.split(text)]
    if any(
        count > 1 and len(sentence) >= SENTENCE_WORDS
        for sentence, count in Counter(sentences).items()
    ):
        return True
    found = words(text)
    runs = Counter(tuple(found[place : place + RUN]) for place in range(len(found) - RUN + 1))
    return any(count >= RUNS for count in runs.values())


def is_damaged(text: str) -> bool:
    """Return whether a text has characters that mean nothing: replaced, or for private use."""
    return any(
        character == REPLACEMENT or unicodedata.category(character) in ("Co", "Cs")
        for character in text
    )


def overlap(one: AbstractSet[Hashable], other: AbstractSet[Hashable]) -> float:
    """Return Dice's coefficient of two sets: 1 if they are equal, 0 if they share nothing."""
    return 2 * len(one & other) / (len(one) + len(other)) if one or other else 1.0
