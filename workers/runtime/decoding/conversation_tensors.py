"""All tensors of fixed shape with which conversations are continued."""

from collections.abc import Mapping

import torch

from workers.runtime.decoding.cache import ConversationCache
from workers.runtime.decoding.search import GreedySearch, Rules
from workers.runtime.grammar.processor import allowed_tokens

LENGTH = 256
"""Shortest room for a conversation and its answer, in tokens. The next ones have half as many more,
twice as many, three times, four times …, so that few graphs are recorded."""
NEW_TOKENS = 512
"""Answers get room for a multiple of so many tokens."""


class ConversationTensors:
    """All tensors of fixed shape, for batches of any size up to what there is room for."""

    def __init__(
        self, rules: Rules, rows: int, tokens: int, new_tokens: int, device: torch.device
    ) -> None:
        """Allocate for ``rows``, with so many ``tokens`` of them all, and of each new one."""
        self.room = rows, tokens, new_tokens
        self._restrictions = rules.restrictions
        self.cache = ConversationCache(tokens)
        self.search = GreedySearch(rules, rows, new_tokens, device)
        self.places = torch.arange(max(tokens, new_tokens), device=device)
        self.given = torch.zeros(1, dtype=torch.int64, device=device)
        """Length of the prompts."""
        self.penalty = torch.ones(1, device=device)
        """What scores of tokens that were there already are divided by."""
        self._known = torch.zeros(tokens, dtype=torch.bool, device=device)
        self._prompts = torch.zeros(tokens, dtype=torch.int64, device=device)
        # Those whose shape depends on the type are allocated by the first batch.
        self.positions = torch.zeros(0, dtype=torch.int64, device=device)
        """Of the last given token, (…, rows, 1)."""
        self.logits = torch.zeros(0, device=device)
        """Of the next token, (rows, vocabulary), float32."""
        self.is_penalised = False
        self.scores = torch.zeros(0, device=device)
        """Where tokens may not follow minus infinity, else logits, for the token before."""
        self._steered = self._masks = torch.zeros(0, device=device)

    def fits(self, rows: int, length: int, new_tokens: int) -> bool:
        """Return whether there is room for ``rows`` of ``length`` tokens, so many of them new."""
        most_rows, tokens, new = self.room
        return rows <= most_rows and rows * length <= tokens and new_tokens <= new

    def known(self, rows: int, length: int) -> torch.Tensor:
        """Return (rows, length): where tokens are, or will be, and no padding."""
        return self._known[: rows * length].view(rows, length)

    def begin(
        self,
        shape: tuple[int, int],
        inputs: Mapping[str, torch.Tensor],
        positions: torch.Tensor,
        logits: torch.Tensor,
        penalty: float,
    ) -> None:
        """Begin a batch.

        Args:
            shape: rows and length to compute.
            inputs: tokens and mask of the prompts, (rows, given).
            positions: of their last tokens, (…, rows, 1).
            logits: of the first new tokens, (rows, vocabulary).
            penalty: see :attr:`penalty`.
        """
        tokens, mask = inputs["input_ids"], inputs["attention_mask"].bool()
        rows, given = mask.shape
        if not len(self.logits):
            most = self.room[0]
            self.positions = positions.new_zeros((*positions.shape[:-2], most, 1))
            self.logits = logits.new_zeros((most, logits.shape[1]))
        self.given.fill_(given)
        known = self.known(*shape)
        known.fill_(1)
        known[:rows, :given] = mask
        self.positions[..., :rows, :] = positions
        self.is_penalised = penalty != 1.0
        self.penalty.fill_(penalty)
        # Another token of the prompt stands for what is no token of its text.
        last = tokens[:, -1:]
        prompts = self._prompts[: shape[0] * shape[1]].view(shape)
        prompts[:rows] = last
        prompts[:rows, :given] = torch.where(mask & (tokens < logits.shape[1]), tokens, last)
        self.logits[:rows] = logits
        self.keep(self.ruled(self.logits[: shape[0]], shape[1]))

    def keep(self, logits: torch.Tensor) -> None:
        """Keep logits (rows, vocabulary) with which the next token is chosen."""
        self.logits[: len(logits)].copy_(logits)

    def ruled(self, logits: torch.Tensor, length: int) -> torch.Tensor:
        """Return logits (rows, vocabulary) after the checkpoint's rules and the penalty.

        Args:
            logits: of the token after the last one.
            length: of the conversations.
        """
        logits, rows = self._restrictions.without_never(logits.float()), len(logits)
        if not self.is_penalised:
            return logits
        prompts, new = self._prompts[: rows * length].view(rows, length), self.search.every(rows)
        is_there = self.places[: new.shape[1]] <= self.search.position
        seen = torch.cat((prompts, torch.where(is_there, new, prompts[:, -1:])), 1)
        scores = logits.gather(1, seen)
        scores = torch.where(scores < 0, scores * self.penalty, scores / self.penalty)
        return logits.scatter(1, seen, scores)

    def begin_steering(self, steered: torch.Tensor) -> None:
        """Begin a batch in which some rows are steered, (rows,), bool."""
        if not len(self.scores):
            self.scores = torch.zeros_like(self.logits)
            self._steered = torch.zeros_like(self.logits[:, :1], dtype=torch.bool)
        self._steered[: len(steered), 0] = steered.to(self._steered.device)

    def allow(self, masks: torch.Tensor) -> None:
        """Have masks (rows, words), int32, a bit for each token, say what may follow."""
        if not len(self._masks):
            shape = self.room[0], masks.shape[1]
            self._masks = torch.zeros(shape, dtype=masks.dtype, device=self.places.device)
        self._masks[: len(masks)].copy_(masks, non_blocking=True)

    def choose_allowed(self, rows: int) -> None:
        """Choose tokens that the masks allow, in rows that are steered, and any in others."""
        allowed, steered = allowed_tokens(self._masks[:rows]), self._steered[:rows]
        scores = self.scores[:rows].copy_(self.logits[:rows])
        known = min(allowed.shape[1], scores.shape[1])
        scores[:, :known].masked_fill_(~allowed[:, :known] & steered, -torch.inf)
        scores[:, known:].masked_fill_(steered, -torch.inf)
        self.search.choose(scores)


def padded_length(tokens: int) -> int:
    """Return how many tokens there is room for where ``tokens`` are needed."""
    room = LENGTH
    while room < tokens:
        if room * 3 // 2 >= tokens:
            return room * 3 // 2
        room *= 2
    return room
