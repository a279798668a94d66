"""What the host knows of the texts of a batch while they are written."""

from typing import Any

import torch
from transformers import StoppingCriteriaList

from workers.runtime.decoding.search import Rules


class WrittenTexts:
    """Finds out which texts have ended, token by token, as transformers' own loop does."""

    def __init__(self, rows: int, rules: Rules, stops: StoppingCriteriaList) -> None:
        """Begin a batch.

        Args:
            rows: number of texts.
            rules: the checkpoint's.
            stops: further reasons to end a text; they see new tokens only.
        """
        self.rows, self._stops = rows, stops
        self._ends, self._pad = torch.tensor(rules.ends), rules.pad
        self._looked = 0
        self._length = torch.zeros(rows, dtype=torch.int64)
        """Of each text that has ended; 0: it has not."""

    @property
    def ended(self) -> torch.Tensor:
        """Which texts must not go on, (rows,), bool."""
        return self._length > 0

    def has_ended(self, row: int) -> bool:
        """Return whether a text must not go on."""
        return bool(self._length[row])

    def look(self, tokens: torch.Tensor) -> None:
        """Look at those of the tokens (rows, so far) that were not there the last time."""
        for count in range(self._looked + 1, tokens.shape[1] + 1):
            some: Any = tokens[:, :count]
            ended = torch.isin(some[:, -1], self._ends) | self._stops(some, None)
            self._length[ended & (self._length == 0)] = count
        self._looked = max(self._looked, tokens.shape[1])

    def whole(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return tokens (rows, new) without what was written after a text's end."""
        self.look(tokens)
        lengths = torch.where(self.ended, self._length, tokens.shape[1])
        places = torch.arange(int(lengths.max()))
        return tokens[:, : len(places)].masked_fill(places >= lengths[:, None], self._pad)
