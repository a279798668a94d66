"""From a model's words to a caption: one clean line, or the reason why there is none."""

import random

import pytest

from tests.scripts import SCRIPTS
from tests.workers.captions.examples import read
from workers.captions.reading import MAX_CHARACTERS, NoCaption, read_caption


@pytest.mark.parametrize(
    "text", ["", " \n", "...", "\u200d", "🐈", "\u202e", "none", "N/A", "null."]
)
def test_words_are_needed(text: str) -> None:
    with pytest.raises(NoCaption, match="wrote no caption"):
        read_caption(text)


@pytest.mark.parametrize("text", ["The image shows", "An image of", "In this picture, we can see…"])
def test_an_opening_alone_is_no_caption(text: str) -> None:
    with pytest.raises(NoCaption, match="wrote no caption"):
        read_caption(text)


@pytest.mark.parametrize("text", ["cat " * 300, "哈" * 200, '"' + "the " * 40 + '"'])
def test_a_loop_is_no_caption(text: str) -> None:
    with pytest.raises(NoCaption, match="repeated itself"):
        read_caption(text)


@pytest.mark.parametrize("script", [name for name in SCRIPTS if name not in ("emoji", "flag")])
def test_captions_in_all_scripts_stay_as_they_are(script: str) -> None:
    assert read_caption(f"\u202e{SCRIPTS[script]}\x00\n") == SCRIPTS[script]


@pytest.mark.parametrize(
    "text", ["No image available", *read("no_refusals.txt"), *read("no_loops.txt")]
)
def test_unusual_captions_are_captions(text: str) -> None:
    assert read_caption(text).casefold() in text.casefold()


def test_an_opening_that_the_client_asked_for_stays() -> None:
    assert read_caption("a photo of a cat") == "a cat"
    assert read_caption("a photo of a cat", keep_opening=True) == "a photo of a cat"


def test_a_long_caption_ends_with_a_sentence_or_else_a_word() -> None:
    letters = random.Random(1)  # noqa: S311 - no secret
    words = " ".join("".join(letters.choices("abcdefghij", k=5)) for _ in range(400))
    caption = read_caption(words)
    assert len(caption) <= MAX_CHARACTERS
    assert words.startswith(f"{caption} ")
    assert read_caption(f"{words[:700]}. {words}") == f"{words[:700]}."


def test_no_emoji_is_cut_in_half() -> None:
    unspaced = "".join(chr(0x4E00 + n * 7 % 5000) for n in range(MAX_CHARACTERS - 3))
    family = "👨\u200d👩\u200d👧"
    assert read_caption(unspaced + family + unspaced) == unspaced
