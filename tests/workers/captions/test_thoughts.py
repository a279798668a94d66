"""What a model thinks before it answers is no part of the answer."""

import pytest

from workers.captions.thoughts import open_mark, without_thoughts


@pytest.mark.parametrize(
    "text",
    [
        "<think>\nA dog?\n</think>\n\nA dog.",
        "<think></think>A dog.",
        "A dog?</think>A dog.",
        "<thinking>hm</thinking> A dog.",
        "<|channel>thought\nhm\n<channel|>A dog.",
        "[THINK]hm[/THINK]A dog.",
        "A dog.",
    ],
)
def test_the_answer_is_left(text: str) -> None:
    assert without_thoughts(text) == "A dog."


@pytest.mark.parametrize("text", ["<think>on and on", "<|channel>thought\non", "[THINK]"])
def test_a_thought_that_was_cut_off_is_no_answer(text: str) -> None:
    assert without_thoughts(text) == ""


@pytest.mark.parametrize(
    ("prompt", "mark"),
    [
        ("<|im_start|>assistant\n<think>\n", "<think>\n"),
        ("<|im_start|>assistant\n<think>\n\n</think>\n\n", ""),
        ("<|turn>model\n<|channel>thought\n", "<|channel>thought\n"),
        ("assistant\n", ""),
    ],
)
def test_a_prompt_may_have_begun_the_thought(prompt: str, mark: str) -> None:
    assert open_mark(prompt) == mark
