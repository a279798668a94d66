"""Texts that have begun to repeat themselves are ended."""

import json

import pytest
import torch

from workers.runtime.loops import LoopStop, repeats

LABELS = json.dumps([{"name": name, "confidence": 0.9} for name in ("dog", "cat", "sea", "sun")])


@pytest.mark.parametrize("period", [1, 2, 7, 30, 64])
def test_one_part_again_and_again_is_a_loop(period: int) -> None:
    part = list(range(100, 100 + period))
    assert repeats([1, 2, 3, *part * 40])


@pytest.mark.parametrize(
    "tokens",
    [
        [], [5] * 31, list(range(200)), [*range(40)] * 3, [7] * 40 + [8],
        list(LABELS.encode()), list(b"New York, New York, a wonderful town, they say, they say."),
    ],
    ids=["nothing", "short", "prose", "three times", "went on", "labels", "people"],
)  # fmt: skip
def test_what_people_and_json_repeat_is_none(tokens: list[int]) -> None:
    assert not repeats(tokens)


def test_only_the_row_that_repeats_itself_ends_unless_it_is_exempt() -> None:
    prose, loop = torch.arange(44), torch.cat((torch.arange(4), torch.full((40,), 9)))
    ids = torch.stack((prose, loop, loop))
    assert LoopStop(4, [False, False, True])(ids).tolist() == [False, True, False]


def test_the_prompt_does_not_count() -> None:
    ids = torch.full((1, 48), 9)
    assert LoopStop(40, [False])(ids).tolist() == [False]
