"""What a check has found."""

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple


class Mark(StrEnum):
    """How it is."""

    GOOD = "good"
    DOUBTFUL = "doubtful"
    WRONG = "wrong"


SIGNS = {Mark.GOOD: "✔", Mark.DOUBTFUL: "⚠", Mark.WRONG: "✘"}
STYLES = {Mark.GOOD: "green", Mark.DOUBTFUL: "yellow", Mark.WRONG: "red"}


class Finding(NamedTuple):
    """One line of the report."""

    mark: Mark
    part: str
    """Of the set-up, as `Redis`."""
    says: str
    """What was found, as a sentence or a few words."""
    advice: str = ""
    """What to do, as a sentence; empty where nothing has to be done."""


Findings = Iterator[Finding]


def good(part: str, says: str) -> Finding:
    """Return that a part is as it should be."""
    return Finding(Mark.GOOD, part, says)


def doubtful(part: str, says: str, advice: str) -> Finding:
    """Return that a part may be wrong."""
    return Finding(Mark.DOUBTFUL, part, says, advice)


def wrong(part: str, says: str, advice: str) -> Finding:
    """Return that a part does not work."""
    return Finding(Mark.WRONG, part, says, advice)
