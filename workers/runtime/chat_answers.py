"""From the tokens of a chat model to what a client may see of them."""

import re
from collections.abc import Sequence
from typing import Any

import torch

from workers.captions.thoughts import MARKS, without_thoughts

_ROLE = re.compile(r"\A\s*(?:assistant|model)\s*(?::\s*|\n+)", re.IGNORECASE)
"""The role that small models write once more before their answer."""


class AnswerTexts:
    """Decodes answers: without thoughts, special tokens and roles."""

    def __init__(self, tokenizer: Any) -> None:  # noqa: ANN401 - not typed
        """Find the tokenizer's special tokens."""
        self._tokenizer = tokenizer
        added = tokenizer.added_tokens_decoder.values()
        special = {token.content for token in added if token.special}
        special |= set(tokenizer.all_special_tokens)
        # A type may mark thoughts with special tokens: they are needed to find what is a thought.
        kept = (token for token in special if token and not MARKS.fullmatch(token))
        longest_first = sorted(kept, key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def decode(self, tokens: torch.Tensor, thought: str = "") -> list[str]:
        """Return the texts of new tokens, (N, length).

        Args:
            tokens: each row is padded after its end.
            thought: the mark with which the prompt has begun a thought; empty: it has not.
        """
        raw: list[str] = self._tokenizer.batch_decode(tokens, skip_special_tokens=False)
        texts = (without_thoughts(thought + self._special.sub("", text)) for text in raw)
        return [_ROLE.sub("", text) for text in texts]


class Lengths:
    """Finds where texts end in their tokens."""

    def __init__(self, ends: Sequence[int], padding: int | None) -> None:
        """Take the tokens of which one ends a text, and the one that follows its end."""
        self._ends = torch.tensor(ends)
        self._last = torch.tensor([*ends, *([] if padding is None else [padding])])

    def of(self, tokens: torch.Tensor) -> list[tuple[int, bool]]:
        """Return the length of each text, and whether it has ended.

        Args:
            tokens: new ones, (N, length), on the CPU; each row is padded after its end.

        Returns:
            Tokens with the one that ends the text, if the model wrote it.
        """
        is_last = torch.isin(tokens, self._last)
        found = []
        for row, has_end in zip(tokens, is_last, strict=True):
            place = int(has_end.int().argmax())
            if not has_end[place]:
                found.append((len(row), False))
            else:
                found.append((place + int(torch.isin(row[place], self._ends)), True))
        return found
