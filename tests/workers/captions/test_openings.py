"""What models put before a caption is taken off, if what is left can stand alone."""

import pytest

from tests.workers.captions.examples import read
from workers.captions.openings import without_opening, without_preamble


@pytest.mark.parametrize("line", read("openings.txt"))
def test_an_opening_is_taken_off(line: str) -> None:
    text, _, left = line.partition(" => ")
    assert without_opening(text) == left


@pytest.mark.parametrize("text", ["", *read("no_openings.txt"), *read("no_refusals.txt")[:9]])
def test_what_is_no_opening_or_cannot_stand_alone_without_it_stays(text: str) -> None:
    assert without_opening(text) == text


@pytest.mark.parametrize(
    "line",
    [
        "Here is a caption: A cat.",
        "Sure! Here's a short description of the photo: A cat.",
        "Caption: A cat.",
        "Of course, A cat.",
        "A cat.",
    ],
)
def test_announcements_are_taken_off(line: str) -> None:
    assert without_preamble(line) == "A cat."
