"""Refusals are recognised in many languages, and captions about sorry people are none."""

import pytest

from tests.workers.captions.examples import read
from workers.captions.refusals import is_refusal


@pytest.mark.parametrize("text", read("refusals.txt"))
def test_a_refusal_is_recognised(text: str) -> None:
    assert is_refusal(text)
    assert is_refusal(f"\u200f\u200b{text}")


@pytest.mark.parametrize("text", read("no_refusals.txt"))
def test_a_caption_is_no_refusal(text: str) -> None:
    assert not is_refusal(text)
