"""Ends texts that have begun to repeat themselves for ever."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import StoppingCriteria

STEPS_PER_CHECK = 8
MAX_PERIOD = 64
"""Longest part that is looked for, in tokens: some two sentences."""
MIN_LENGTH, MIN_TIMES = 32, 4
"""Least tokens of a repetition, and least times. People, and JSON, repeat less than that."""


class LoopStop(StoppingCriteria):
    """Ends each text whose end is one part again and again."""

    def __init__(self, given: int, exempt: Sequence[bool]) -> None:
        """Prepare for one batch.

        Args:
            given: length of the prompts.
            exempt: rows that something else ends, such as a grammar.
        """
        self._given, self._exempt = given, exempt
        self._done = [False] * len(exempt)

    def __call__(self, input_ids: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:  # noqa: ANN401
        """Return (N,): whether each row of ``input_ids`` (N, length) is to end."""
        new = input_ids.shape[1] - self._given
        if new >= MIN_LENGTH and new % STEPS_PER_CHECK == 0:
            # The end of a row, as its beginning may take hundreds of tokens.
            rows = input_ids[:, max(self._given, input_ids.shape[1] - MAX_PERIOD * MIN_TIMES) :]
            self._done = [
                done or (not exempt and repeats(row))
                for done, exempt, row in zip(self._done, self._exempt, rows.tolist(), strict=True)
            ]
        return torch.tensor(self._done, dtype=torch.bool, device=input_ids.device)


def repeats(tokens: Sequence[int]) -> bool:
    """Return whether some tokens end with one part again and again."""
    return period_at_end(tokens) > 0


def period_at_end(tokens: Sequence[int]) -> int:
    """Return the length of the part that tokens end with, again and again; 0: there is none."""
    for period in range(1, min(MAX_PERIOD, len(tokens) // MIN_TIMES) + 1):
        length = max(MIN_LENGTH, MIN_TIMES * period)
        tail = tokens[-length:]
        if len(tail) == length and tail[period:] == tail[:-period]:
            return period
    return 0
