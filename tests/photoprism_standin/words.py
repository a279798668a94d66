"""Words, slugs and titles, as far as Latin letters go (``pkg/txt``)."""

import re
import unicodedata

_SMALL = {"a", "an", "and", "as", "at", "by", "for", "in", "of", "on", "or", "the", "to", "with"}


def slug(text: str) -> str:
    """Return the key by which labels are found."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:80]


def titled(text: str) -> str:
    """Return a name with its words capitalised, except small ones."""
    words = text.replace("_", " ").strip("/ -").split()
    return " ".join(
        word.lower() if place and word.lower() in _SMALL else word[:1].upper() + word[1:]
        for place, word in enumerate(words)
    )


def keywords(text: str) -> set[str]:
    """Return the words that could name a label."""
    return {word for word in re.findall(r"[\w\-']+", text.lower()) if len(word) > 2}
