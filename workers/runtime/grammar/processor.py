"""Has ``generate`` write answers by grammars, each row of a batch by its own or by none."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from llguidance import LLExecutor
from transformers import LogitsProcessor, LogitsProcessorList

from workers.runtime.grammar.answer import Answer

MAX_CANDIDATES = 16
"""Tokens of a row that are looked at before the answer goes on towards its known end."""
THREADS = min(4, os.cpu_count() or 1)
_BITS = 32
"""Of a word of a mask."""


class Masks:
    """Computes which tokens may follow, in Rust, while the model computes its scores."""

    def __init__(self, tokens: int) -> None:
        """Start the threads.

        Args:
            tokens: number of tokens that grammars know.
        """
        self._words = -(-tokens // _BITS)
        self._executor = LLExecutor(THREADS)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="grammar")

    def begin(self, answers: Sequence[Answer | None]) -> "Future[torch.Tensor]":
        """Begin to compute masks, (answers, words), int32, with a bit for each token.

        Until the result is there, nothing else may be done with the answers. Where there is none,
        no bit is set.
        """
        return self._thread.submit(self._compute, answers)

    def _compute(self, answers: Sequence[Answer | None]) -> torch.Tensor:
        pinned, words = torch.cuda.is_available(), self._words
        masks = torch.zeros((len(answers), words), dtype=torch.int32, pin_memory=pinned)
        matchers = [(answer.matcher, row) for row, answer in enumerate(answers) if answer]
        if matchers:
            pointer, size = masks.data_ptr(), words * 4
            self._executor.unsafe_compute_mask_ptr(matchers, pointer, size, len(masks))
        return masks


class GrammarProcessor(LogitsProcessor):
    """Chooses the next token of each row that has a grammar; other rows stay as they are.

    Which token it is must be known here, because what may follow depends on it. All others get the
    score minus infinity, so that neither sampling nor taking the best one chooses them.
    """

    def __init__(
        self, answers: Sequence[Answer | None], masks: Masks, warpers: LogitsProcessorList | None
    ) -> None:
        """Begin a batch.

        Args:
            answers: by row; ``None``: free text.
            masks: of the model.
            warpers: what sampling does to scores; ``None``: the best token is taken.
        """
        self._rows = torch.tensor([row for row, answer in enumerate(answers) if answer])
        self._answers = [answer for answer in answers if answer]
        self._masks, self._warpers = masks, warpers
        self._next: Future[torch.Tensor] | None = None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return scores (N, vocabulary) that leave one token to each row with a grammar."""
        if self._next is None:
            self._next = self._masks.begin(self._answers)
        masks = self._next.result()
        for answer in self._answers:
            if answer.matcher.is_error() and not answer.is_done:
                answer.give_up()
        self._rows = rows = self._rows.to(scores.device)
        keys = self._keys(input_ids[rows], scores[rows], masks)
        best = keys.argmax(-1).tolist()
        chosen = [
            answer.take(candidates(best[number], keys[number]))
            for number, answer in enumerate(self._answers)
        ]
        self._next = self._masks.begin(self._answers)
        scores[rows] = -torch.inf
        scores[rows, torch.tensor(chosen, device=scores.device)] = 0.0
        return scores

    def _keys(
        self, input_ids: torch.Tensor, scores: torch.Tensor, masks: torch.Tensor
    ) -> torch.Tensor:
        """Return numbers (rows, vocabulary) whose order is that in which tokens are tried."""
        allowed = allowed_tokens(masks.to(scores.device, non_blocking=True))
        unknown = scores.shape[1] - allowed.shape[1]  # below 0: there are scores for fewer tokens
        scores = scores.masked_fill(~torch.nn.functional.pad(allowed, (0, unknown)), -torch.inf)
        if self._warpers is None:
            return scores
        shares = self._warpers(input_ids, scores).softmax(-1)  # type: ignore[arg-type]
        # The largest of these numbers is drawn with the token's share as probability, and so on.
        return shares / torch.empty_like(shares).exponential_()


def allowed_tokens(masks: torch.Tensor) -> torch.Tensor:
    """Return (rows, tokens), whether each may follow, of masks (rows, words), int32."""
    bits = torch.arange(_BITS, dtype=torch.int32, device=masks.device)
    return ((masks[:, :, None] >> bits) & 1).flatten(1).bool()


def candidates(best: int, keys: torch.Tensor) -> Iterator[int]:
    """Yield the best token, then the next ones by their keys (vocabulary,)."""
    yield best
    yield from keys.topk(min(MAX_CANDIDATES, len(keys))).indices[1:].tolist()
