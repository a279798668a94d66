"""What becomes of the tokens of a chat model."""

import pytest
import torch

from workers.runtime.chat_answers import Lengths

END, OTHER_END, PAD = 1, 2, 0


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ([7, 8, END, PAD, PAD], (3, True)),
        ([7, 8, 9, 8, OTHER_END], (5, True)),
        ([7, 8, 9, 8, 9], (5, False)),
        ([7, 8, PAD, PAD, PAD], (2, True)),
        ([END, PAD, PAD, PAD, PAD], (1, True)),
    ],
    ids=["end", "end at the limit", "limit", "stop word", "nothing"],
)
def test_a_text_is_as_long_as_what_was_written(
    tokens: list[int], expected: tuple[int, bool]
) -> None:
    lengths = Lengths([END, OTHER_END], PAD)
    assert lengths.of(torch.tensor([[7] * 5, tokens])) == [(5, False), expected]


def test_a_token_that_pads_and_ends_texts_is_written_once() -> None:
    assert Lengths([END], END).of(torch.tensor([[7, END, END, END]])) == [(2, True)]
