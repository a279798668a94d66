"""Which token comes next: greedy and beam search in tensors of fixed shape.

Both give the tokens that transformers' ``generate`` gives. Nothing here depends on the value of a
tensor, so that each step can be recorded as a CUDA graph.
"""

from dataclasses import dataclass, field
from typing import Protocol

import torch

from workers.runtime.decoding.restrictions import Restrictions

IMPOSSIBLE = -1.0e9
"""A score that no text has; transformers' value."""


@dataclass(frozen=True)
class Rules:
    """What a checkpoint says about texts."""

    ends: tuple[int, ...]
    """Tokens that end a text."""
    pad: int
    """Follows the end."""
    beams: int = 1
    length_penalty: float = 1.0
    early_stopping: bool = False
    restrictions: Restrictions = field(default_factory=Restrictions)


class Search(Protocol):
    """Holds the tokens of a batch, and chooses the next ones."""

    position: torch.Tensor
    """Index of the last token, (1,), int64."""
    done: torch.Tensor
    """Whether more steps would change nothing, (1,), bool; meaningful after a choice."""

    def begin(self, prompt: torch.Tensor, images: int, padded: int, new_tokens: int) -> None:
        """Begin a batch.

        Args:
            prompt: the tokens with which each text begins, (given,), int64.
            images: number of images.
            padded: number of rows to compute, at least ``images``; the others do not count.
            new_tokens: most tokens of an answer.
        """

    def tokens(self, count: int) -> torch.Tensor:
        """Return the first ``count`` tokens of each row, (rows, count), where a batch begins."""

    def last(self) -> torch.Tensor:
        """Return the last token of each row, (rows, 1)."""

    def choose(self, logits: torch.Tensor) -> torch.Tensor | None:
        """Append a token to each row.

        Args:
            logits: (rows, vocabulary).

        Returns:
            The row that each row continues, (rows,); none if each continues itself.
        """

    def result(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the new tokens, (images, new), on the CPU, and their probabilities, if known."""


class GreedySearch:
    """Always the most probable token."""

    def __init__(self, rules: Rules, images: int, length: int, device: torch.device) -> None:
        """Allocate for batches of ``images`` at most, and texts of ``length`` tokens."""
        self._rules = rules
        self._ends = torch.tensor(rules.ends, device=device)
        self._tokens = torch.zeros((images, length), dtype=torch.int64, device=device)
        self._probabilities = torch.zeros((images, length), device=device)
        self._finished = torch.zeros(images, dtype=torch.bool, device=device)
        self.position = torch.zeros(1, dtype=torch.int64, device=device)
        self._last = torch.zeros(1, dtype=torch.int64, device=device)
        self.done = torch.zeros(1, dtype=torch.bool, device=device)
        self._images = self._padded = self._given = 0

    def begin(self, prompt: torch.Tensor, images: int, padded: int, new_tokens: int) -> None:
        """Begin a batch: see :class:`Search`."""
        self._images, self._padded, self._given = images, padded, len(prompt)
        self._tokens[:padded, : len(prompt)] = prompt
        self._finished[:images] = False
        self._finished[images:padded] = True
        self.position.fill_(len(prompt) - 1)
        self._last.fill_(len(prompt) + new_tokens - 1)

    def tokens(self, count: int) -> torch.Tensor:
        """Return the first tokens of each row, (rows, count)."""
        return self._tokens[: self._padded, :count]

    def last(self) -> torch.Tensor:
        """Return the last token of each row, (rows, 1)."""
        return self._tokens[: self._padded].index_select(1, self.position)

    def choose(self, logits: torch.Tensor) -> None:
        """Append the most probable token to each row."""
        rows = self._padded
        logits = self._rules.restrictions.apply(
            logits.float(), self._tokens[:rows], self.position, self._last
        )
        best = logits.argmax(-1, keepdim=True)
        probability = torch.exp(logits.gather(1, best) - logits.logsumexp(-1, keepdim=True))
        self.append(best)
        self._probabilities[:rows].index_copy_(1, self.position, probability)
        self.done.copy_(self._finished[:rows].all())

    def append(self, tokens: torch.Tensor) -> None:
        """Append tokens (rows, 1) to the first rows; those that have ended are padded."""
        finished = self._finished[: len(tokens)]
        tokens = tokens.masked_fill(finished[:, None], self._rules.pad)
        self.position.add_(1)
        self._tokens[: len(tokens)].index_copy_(1, self.position, tokens)
        finished |= _is_in(tokens[:, 0], self._ends)

    def every(self, rows: int) -> torch.Tensor:
        """Return the tokens of the first rows, (rows, length); not all are there yet."""
        return self._tokens[:rows]

    def finish(self, ended: torch.Tensor) -> None:
        """Have the first rows not go on where they have ``ended`` (rows,) for other reasons."""
        self._finished[: len(ended)] |= ended.to(self._finished.device)

    def correct(self, row: int, token: int) -> None:
        """Replace the last token of a row; before that, nothing may have followed it."""
        self._tokens[row : row + 1].index_fill_(1, self.position, token)

    def result(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return tokens and probabilities, (images, new), on the CPU."""
        where = slice(self._images), slice(self._given, int(self.position) + 1)
        return self._tokens[where].cpu(), self._probabilities[where].cpu()


class BeamSearch:
    """The best of several texts per image, as transformers finds it."""

    def __init__(self, rules: Rules, images: int, length: int, device: torch.device) -> None:
        """Allocate for batches of ``images`` at most, and texts of ``length`` tokens."""
        self._rules, beams = rules, rules.beams
        self._ends = torch.tensor(rules.ends, device=device)
        shape = images, beams
        self._running = torch.zeros((*shape, length), dtype=torch.int64, device=device)
        self._scores = torch.zeros(shape, device=device)
        self._best = torch.zeros((*shape, length), dtype=torch.int64, device=device)
        self._best_scores = torch.zeros(shape, device=device)
        self._is_finished = torch.zeros(shape, dtype=torch.bool, device=device)
        self._improvable = torch.zeros((images, 1), dtype=torch.bool, device=device)
        # Enough candidates, so that as many as there are beams can go on if others end.
        self._kept = max(2, 1 + len(rules.ends)) * beams
        self._is_top = torch.arange(self._kept, device=device) < beams
        self._offsets = torch.arange(images, device=device)[:, None] * beams
        self.position = torch.zeros(1, dtype=torch.int64, device=device)
        self._begun = torch.zeros(1, dtype=torch.int64, device=device)
        self._last = torch.zeros(1, dtype=torch.int64, device=device)
        self.done = torch.zeros(1, dtype=torch.bool, device=device)
        self._images = self._padded = self._given = 0

    def begin(self, prompt: torch.Tensor, images: int, padded: int, new_tokens: int) -> None:
        """Begin a batch: see :class:`Search`."""
        self._images, self._padded, self._given = images, padded, len(prompt)
        for tokens in (self._running[:padded], self._best[:padded]):
            tokens.fill_(self._rules.pad)
            tokens[:, :, : len(prompt)] = prompt
        # All beams are equal at first, so only one of them may be continued.
        self._scores[:padded] = IMPOSSIBLE
        self._scores[:padded, 0] = 0.0
        self._best_scores[:padded] = IMPOSSIBLE
        self._is_finished[:padded] = False
        self._improvable[:images] = True
        self._improvable[images:padded] = False
        self.position.fill_(len(prompt) - 1)
        self._begun.fill_(len(prompt))
        self._last.fill_(len(prompt) + new_tokens - 1)

    def tokens(self, count: int) -> torch.Tensor:
        """Return the first tokens of each row, (rows, count)."""
        return self._running[: self._padded, :, :count].flatten(0, 1)

    def last(self) -> torch.Tensor:
        """Return the last token of each row, (rows, 1)."""
        return self._running[: self._padded].index_select(2, self.position).flatten(0, 1)

    def choose(self, logits: torch.Tensor) -> torch.Tensor:
        """Continue the best beams of each image; returns the row that each continues."""
        n, beams, vocabulary = self._padded, self._rules.beams, logits.shape[-1]
        scores = self._rules.restrictions.apply(
            logits.float().log_softmax(-1),
            self._running[:n].flatten(0, 1),
            self.position,
            self._last,
        ).view(n, beams, vocabulary)
        scores = (scores + self._scores[:n, :, None]).flatten(1)
        top, index = scores.topk(self._kept)
        source, token = index // vocabulary, index % vocabulary
        self.position.add_(1)
        candidates = _pick(self._running[:n], source)
        candidates.index_copy_(2, self.position, token[:, :, None])
        ends = _is_in(token, self._ends) | (self.position == self._last)
        self._finish(candidates, top, ends & self._is_top)
        alive = top + ends * IMPOSSIBLE
        order: torch.Tensor = alive.topk(beams).indices
        self._running[:n] = _pick(candidates, order)
        self._scores[:n] = alive.gather(1, order)
        self._update_done()
        return (source.gather(1, order) + self._offsets[:n]).flatten()

    def _new_tokens(self) -> torch.Tensor:
        return self.position + 1 - self._begun

    def _finish(self, candidates: torch.Tensor, top: torch.Tensor, ended: torch.Tensor) -> None:
        """Keep the best finished texts, among them those of the candidates that just ended."""
        n = self._padded
        final = top / self._new_tokens() ** self._rules.length_penalty
        closed = ~self._improvable[:n]
        if self._rules.early_stopping:
            closed = closed | self._is_finished[:n].all(-1, keepdim=True)
        final = final + closed * IMPOSSIBLE + ~ended * IMPOSSIBLE
        scores = torch.cat((self._best_scores[:n], final), 1)
        order = scores.topk(self._rules.beams).indices
        self._best[:n] = _pick(torch.cat((self._best[:n], candidates), 1), order)
        self._best_scores[:n] = scores.gather(1, order)
        finished = torch.cat((self._is_finished[:n], ended), 1)
        self._is_finished[:n] = finished.gather(1, order)

    def _update_done(self) -> None:
        n = self._padded
        possible = self._scores[:n, :1] / self._new_tokens() ** self._rules.length_penalty
        worst = self._best_scores[:n].amin(1, keepdim=True)
        worst = torch.where(self._is_finished[:n], worst, IMPOSSIBLE)
        self._improvable[:n] &= (possible > worst).any(-1, keepdim=True)
        open_rows = self._improvable[:n]
        if self._rules.early_stopping:
            open_rows = open_rows & ~self._is_finished[:n].all(-1, keepdim=True)
        self.done.copy_(~open_rows.any())

    def result(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the best text of each image, (images, new), on the CPU."""
        best = self._best[: self._images, 0, self._given : int(self.position) + 1]
        return best.cpu(), None


def _is_in(tokens: torch.Tensor, some: torch.Tensor) -> torch.Tensor:
    # torch.isin may choose its kernels by what it is given.
    return (tokens[..., None] == some).any(-1)


def _pick(beams: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Return the beams (N, kept, length) at ``index`` (N, kept) of beams (N, any, length)."""
    return beams.gather(1, index[:, :, None].expand(-1, -1, beams.shape[2]))
