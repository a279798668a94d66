"""In which language a caption is written: by its script and its function words, offline.

That is less than a library for it would know, and enough for what is asked here: whether a model
writes in another language than the one that is wanted. Short texts are often unclear.
"""

import heapq
import unicodedata
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from vision.compare.texts import words

UNCLEAR = ""
WORDS = Path(__file__).parent / "data" / "function_words.txt"
LEAST_WORDS, LEAST_WEIGHT, LEAD = 2, 1.0, 1.5
"""A language is told by two function words or more that together weigh as much as one that no other
language has, and half as much again as those of the next language."""
KANA_SHARE = 0.1
"""Of the letters of a text in Japanese, at least; Chinese has none."""
OF_SCRIPTS = {
    "HANGUL": "Korean", "GREEK": "Greek", "HEBREW": "Hebrew", "THAI": "Thai",
    "DEVANAGARI": "Hindi", "GEORGIAN": "Georgian", "ARMENIAN": "Armenian", "TAMIL": "Tamil",
    "BENGALI": "Bengali",
}  # fmt: skip
"""Languages that are told by their scripts, by the first word of the names of their letters."""
KANA, HAN = ("HIRAGANA", "KATAKANA"), "CJK"
OWN_NAMES = {
    "de": "German", "deutsch": "German", "en": "English", "es": "Spanish", "español": "Spanish",
    "espanol": "Spanish", "fr": "French", "français": "French", "francais": "French",
    "it": "Italian", "italiano": "Italian", "ja": "Japanese", "日本語": "Japanese",
    "nl": "Dutch", "nederlands": "Dutch", "pl": "Polish", "polski": "Polish", "pt": "Portuguese",
    "português": "Portuguese", "portugues": "Portuguese", "ru": "Russian", "русский": "Russian",
    "sv": "Swedish", "svenska": "Swedish", "tr": "Turkish", "türkçe": "Turkish", "uk": "Ukrainian",
    "українська": "Ukrainian", "zh": "Chinese", "中文": "Chinese", "ko": "Korean",
    "한국어": "Korean",
}  # fmt: skip


def language_named(name: str) -> str:
    """Return the English name of a language, which may be given by its own name or its code."""
    return OWN_NAMES.get(name.casefold(), name.capitalize())


def language_of(text: str) -> str:
    """Return the English name of the language of a text, or :data:`UNCLEAR`."""
    scripts = Counter(_script(character) for character in text if character.isalpha())
    letters = sum(scripts.values())
    if not letters:
        return UNCLEAR
    kana = sum(scripts[script] for script in KANA)
    if scripts[HAN] + kana > letters / 2:
        return "Japanese" if kana >= KANA_SHARE * letters else "Chinese"
    script, count = scripts.most_common(1)[0]
    if count > letters / 2 and script in OF_SCRIPTS:
        return OF_SCRIPTS[script]
    return _by_words(text)


@cache
def function_words() -> frozenset[str]:
    """Return the function words of all languages."""
    return frozenset(_weights())


def _by_words(text: str) -> str:
    found: dict[str, list[float]] = {}
    for word in words(text):
        for language, weight in _weights().get(word, {}).items():
            found.setdefault(language, []).append(weight)
    scores = {language: sum(weights) for language, weights in found.items()}
    best, second = heapq.nlargest(
        2, [UNCLEAR, UNCLEAR, *scores], key=lambda one: scores.get(one, 0)
    )
    is_clear = scores.get(best, 0) >= max(LEAST_WEIGHT, LEAD * scores.get(second, 0))
    return best if is_clear and len(found[best]) >= LEAST_WORDS else UNCLEAR


def _script(character: str) -> str:
    return unicodedata.name(character, "").partition(" ")[0]


@cache
def _weights() -> Mapping[str, Mapping[str, float]]:
    """Return what each function word weighs for each language that has it: its share of them."""
    languages: dict[str, list[str]] = {}
    for line in WORDS.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            language, _, found = line.partition(": ")
            for word in set(found.split()):
                languages.setdefault(word, []).append(language)
    return {word: dict.fromkeys(found, 1 / len(found)) for word, found in languages.items()}
