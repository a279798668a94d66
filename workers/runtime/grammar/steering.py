"""Chooses tokens of rows with a grammar while the model goes on with the ones it thinks best."""

from collections.abc import Sequence

import torch

from workers.runtime.grammar.answer import Answer
from workers.runtime.grammar.processor import Masks, candidates


class Steering:
    """The rows of one batch that have a grammar, each with its own."""

    def __init__(self, answers: Sequence[Answer | None], masks: Masks) -> None:
        """Begin a batch.

        Args:
            answers: by row; ``None``: free text.
            masks: of the model.
        """
        self.rows = torch.tensor([answer is not None for answer in answers])
        """Which rows have a grammar, (rows,), bool."""
        self._open = list(answers)
        self._masks = masks
        self._next = masks.begin(self._open)

    def masks(self) -> torch.Tensor:
        """Return what may follow, (rows, words), int32, a bit for each token, on the CPU."""
        masks = self._next.result()
        for answer in self._open:
            if answer and answer.matcher.is_error():
                answer.give_up()
        return masks

    def take(self, best: Sequence[int], scores: torch.Tensor) -> dict[int, int]:
        """Take a token for each row with a grammar.

        Args:
            best: of each row, the best token of those that may follow.
            scores: (rows, vocabulary), minus infinity where a token may not follow; they are
                only looked at where an answer could not end in time after the best one.

        Returns:
            Tokens that were taken in place of the best ones, by row.
        """
        changed: dict[int, int] = {}
        for row, answer in enumerate(self._open):
            if answer is None:
                continue
            token = answer.take(candidates(best[row], scores[row]))
            if token != best[row]:
                changed[row] = token
            if answer.is_done:
                self._open[row] = None
        self._next = self._masks.begin(tuple(self._open))
        return changed
