"""Which tokens may come next, by rules that some checkpoints have, in tensors of fixed shape.

As transformers applies them: no sequence of tokens twice, a token that begins each text, and one
that ends a text at its limit.
"""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Restrictions:
    """Rules of a checkpoint."""

    no_repeat: int = 0
    """No sequence of so many tokens occurs twice; 0: any may."""
    first: int | None = None
    """The first token after the one that every text begins with."""
    last: int | None = None
    """The last token of a text that is cut at its limit."""
    never: tuple[int, ...] = ()
    """Tokens that no text has."""

    def apply(
        self,
        scores: torch.Tensor,
        tokens: torch.Tensor,
        position: torch.Tensor,
        end: torch.Tensor,
    ) -> torch.Tensor:
        """Return scores in which tokens that may not follow have minus infinity.

        Args:
            scores: logits or their log-softmax, (rows, vocabulary), float32.
            tokens: of the texts, (rows, length), int64; what is after ``position`` does not count.
            position: index of the last token, (1,), int64.
            end: index of the last token that there may be, (1,), int64.
        """
        scores = self.without_never(scores)
        if self.no_repeat:
            scores = scores.masked_fill(self._repeated(scores, tokens, position), -torch.inf)
        if self.first is not None:
            scores = torch.where(position == 0, _only(self.first, scores), scores)
        if self.last is not None:
            scores = torch.where(position == end - 1, _only(self.last, scores), scores)
        return scores

    def without_never(self, scores: torch.Tensor) -> torch.Tensor:
        """Return scores (rows, vocabulary) with which some tokens never follow."""
        if self.never:
            scores = scores.clone()
            for token in self.never:
                scores[:, token].fill_(-torch.inf)
        return scores

    def _repeated(
        self, scores: torch.Tensor, tokens: torch.Tensor, position: torch.Tensor
    ) -> torch.Tensor:
        """Return (rows, vocabulary): whether a token would repeat a sequence."""
        windows = tokens.unfold(1, self.no_repeat, 1)  # (rows, windows, no_repeat)
        starts = torch.arange(windows.shape[1], device=tokens.device)
        is_repeated = (starts + self.no_repeat - 1 <= position).expand(len(tokens), -1)
        for place in range(self.no_repeat - 1):
            back = (position - (self.no_repeat - 2 - place)).clamp_min(0)
            is_repeated = is_repeated & (windows[..., place] == tokens.index_select(1, back))
        # Of several windows with the same last token, one is enough.
        counts = torch.zeros_like(scores)
        return counts.scatter_add_(1, windows[..., -1], is_repeated.to(scores.dtype)) > 0


def _only(token: int, scores: torch.Tensor) -> torch.Tensor:
    """Return scores (vocabulary,) with which nothing but a token can follow."""
    forced = torch.full_like(scores[0], -torch.inf)
    forced[token].fill_(0.0)
    return forced
