"""What contestants say of a photo, in a form in which it can be compared."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from vision.compare.languages import UNCLEAR, function_words, language_of
from vision.compare.texts import is_damaged, overlap, repeats_itself, words


class Flag(StrEnum):
    """What is wrong with an answer, whoever is right about the photo."""

    LANGUAGE = "another language"
    REPEATS = "repeats itself"
    DAMAGED = "damaged characters"


@dataclass(frozen=True)
class Said:
    """One answer about one photo."""

    text: str = ""
    """A caption."""
    names: tuple[str, ...] = ()
    """Of labels, the most confident first."""
    categories: tuple[str, ...] = ()
    """Of these labels: more general names."""
    verdict: str = ""
    """Whether it is safe, in the service's words."""
    score: float | None = None
    """From 0 to 1: how unsafe it is."""

    @classmethod
    def of(cls, task: str, result: Any) -> "Said":  # noqa: ANN401 - JSON, as it came
        """Read the task's part of a reply; ``None``: the model has nothing to say."""
        if task == "caption":
            return cls(text=str((result or {}).get("text") or "").strip())
        if task == "labels":
            labels: Sequence[Mapping[str, Any]] = result or ()
            return cls(
                names=tuple(str(label["name"]) for label in labels if label.get("name")),
                categories=tuple(
                    str(name) for label in labels for name in label.get("categories") or ()
                ),
            )
        verdict: Mapping[str, Any] = next(iter(result or ()), {})
        return cls(verdict=str(verdict.get("status") or ""), score=verdict.get("score"))

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing."""
        return not (self.text or self.names or self.verdict)

    @property
    def language(self) -> str:
        """The language of a caption; empty: not clear."""
        return language_of(self.text) if self.text else UNCLEAR

    @property
    def units(self) -> frozenset[str]:
        """What it says in parts that others may say, too: words with a meaning, or names."""
        if self.text:
            return frozenset(words(self.text)) - function_words() or frozenset(words(self.text))
        return frozenset(map(same, self.names)) or frozenset({self.verdict})

    def agreement(self, other: "Said") -> float:
        """Return how much of two answers is the same, from 0 to 1: Dice's coefficient."""
        return overlap(self.units, other.units)

    def names_confirmed_by(self, others: Sequence["Said"]) -> tuple[str, ...]:
        """Return those names that another answer has, too, as a label or as its category."""
        known = {same(name) for other in others for name in (*other.names, *other.categories)}
        return tuple(name for name in self.names if same(name) in known)

    def names_the_same(self, other: "Said") -> bool:
        """Return whether the first name of one of two answers is among those of the other."""
        return bool(
            self.names
            and other.names
            and (
                _first(self).names_confirmed_by([other]) or _first(other).names_confirmed_by([self])
            )
        )

    def flags(self, language: str) -> tuple[Flag, ...]:
        """Return what is wrong with it.

        Args:
            language: the one that is wanted of captions; empty: any.
        """
        if is_damaged(self.text) or any(map(is_damaged, self.names)):
            return (Flag.DAMAGED,)  # and what else it may be says nothing
        found = []
        if language and self.language not in (language, UNCLEAR):
            found.append(Flag.LANGUAGE)
        if repeats_itself(self.text):
            found.append(Flag.REPEATS)
        return tuple(found)


def _first(said: Said) -> Said:
    """Return an answer with its first name alone."""
    return Said(names=said.names[:1])


def same(name: str) -> str:
    """Return a label's name as it is compared: without case, punctuation and the plural's s."""
    plain = " ".join(words(unicodedata.normalize("NFKC", name))) or name.casefold()
    return plain[:-1] if len(plain) > 3 and plain.endswith("s") and plain[-2] not in "su" else plain
