"""One answer while it is written: what may follow, and how it can end in time."""

from collections.abc import Iterable
from typing import Protocol

from llguidance import LLMatcher

from shared.errors import BadRequest, TooFewTokens, UnusableForm
from workers.runtime.grammar.closing import ends
from workers.runtime.grammar.compiling import Grammar, Grammars
from workers.runtime.loops import STEPS_PER_CHECK, period_at_end

MAX_SEARCHES = 16
"""Thorough searches for ends of one answer: they may take 0.1 s each."""


class Find(Protocol):
    """Says where a text must end."""

    def __call__(self, text: str) -> int:
        """Return the index of the first character that does not belong to it; -1: all of it may."""


class Answer:
    """An answer by a grammar.

    It is always known how the answer can end with the tokens that are left. A token after which no
    such end is found is not taken. So the answer is whole wherever it stops.
    """

    def __init__(
        self, grammar: Grammar, grammars: Grammars, limit: int, stop: Find | None = None
    ) -> None:
        """Begin.

        Args:
            grammar: of the answer.
            grammars: that compiled it.
            limit: most tokens.
            stop: says where the answer is to end early; ``None``: nowhere.

        Raises:
            TooFewTokens: no answer of so few tokens is known.
            UnusableForm: none is that is short enough for any limit.
        """
        if grammar.shortest is None or len(grammar.shortest) > limit:
            raise _too_long(grammar, limit)
        self._grammar, self._vocabulary = grammar, grammars.vocabulary
        self._left, self._stop = limit, stop
        self.matcher = grammar.matcher()
        self._tokens: list[int] = []
        self._end = grammar.shortest
        """Tokens with which the answer can end."""
        self._searches = MAX_SEARCHES
        self.is_done = False

    @property
    def text(self) -> str:
        """The whole answer; if it has not ended, with the end that is known."""
        return self._vocabulary.text(self._tokens + self._end).decode()

    def take(self, candidates: Iterable[int]) -> int:
        """Take the first of the candidates with which the answer can end in time.

        Args:
            candidates: tokens, the best one first.

        Returns:
            The token that was taken; a token that ends the text where the answer is complete.
        """
        final = self._vocabulary.final
        if not self.is_done:
            for token in candidates:
                if token in final and self.matcher.is_accepting():
                    self._finish([])
                    return token
                if self._takes(token):
                    return self._taken(token)
            if self._end and self.matcher.consume_token(self._end[0]):
                token, self._end = self._end[0], self._end[1:]
                return self._taken(token)
            self.give_up()
        return final[0]

    def give_up(self) -> None:
        """End as is known, where the matcher cannot say any more what may follow."""
        self._finish(self._end)

    def _finish(self, end: list[int]) -> None:
        self._tokens, self._end, self.is_done = self._tokens + end, [], True

    def _takes(self, token: int) -> bool:
        trial = self.matcher.deep_copy()
        if not trial.consume_token(token):
            return False
        end = self._end_after(token, trial)
        if end is None or len(end) >= self._left:
            return False
        self.matcher, self._end = trial, end
        return True

    def _end_after(self, token: int, trial: LLMatcher) -> list[int] | None:
        """Return an end of the answer if it goes on with a token."""
        known, text = self._vocabulary.text(self._end), self._vocabulary.text([token])
        if known.startswith(text):
            return self._vocabulary.spell(known[len(text) :])
        if ends(trial, self._end):
            return self._end
        find, most = self._grammar.closing.find, self._left - 1
        end = find(trial, most, thoroughly=False)
        if end is None and self._searches:
            self._searches -= 1
            end = find(trial, most, thoroughly=True)
        return end

    def _taken(self, token: int) -> int:
        self._tokens.append(token)
        self._left -= 1
        kept = self._kept()
        if kept == len(self._tokens):
            return token
        self._end_within(kept)
        return self._vocabulary.final[0]

    def _kept(self) -> int:
        """Return how many tokens are left without repetitions, and without a stop word."""
        tokens, text = self._tokens, self._vocabulary.text
        if len(tokens) % STEPS_PER_CHECK == 0 and (period := period_at_end(tokens)):
            second = len(tokens) - period  # where the part begins for the second time
            while second > period and tokens[second - 1] == tokens[second - 1 - period]:
                second -= 1
            return second
        if self._stop is None:
            return len(tokens)
        so_far = text(tokens).decode(errors="ignore")
        end = self._stop(so_far)
        if end < 0:
            return len(tokens)
        size = len(so_far[:end].encode())
        return next(n for n in range(len(tokens), -1, -1) if len(text(tokens[:n])) <= size)

    def _end_within(self, count: int) -> None:
        """End the answer after at most so many tokens of what there is."""
        most = self._left + len(self._tokens)
        for kept in range(count, 0, -1):
            matcher = self._grammar.matcher()
            matcher.consume_tokens(self._tokens[:kept])
            end = self._grammar.closing.find(matcher, most - kept)
            if end is not None:
                self._tokens = self._tokens[:kept]
                return self._finish(end)
        self._tokens = []
        return self._finish(self._grammar.shortest or [])


def _too_long(grammar: Grammar, limit: int) -> BadRequest:
    if grammar.shortest is None:
        return UnusableForm(
            "No answer that fits the JSON schema is as short as answers have to be here."
        )
    return TooFewTokens(
        f"An answer that fits the JSON schema needs about {len(grammar.shortest)} tokens; the "
        f"limit of tokens is {limit}."
    )
