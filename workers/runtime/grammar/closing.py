"""Finds a short way from where an answer is to its end."""

from collections import Counter, deque
from collections.abc import Iterator
from itertools import islice
from string import printable

from llguidance import LLMatcher, LLTokenizer

PREFERRED = b'"}],:0123456789nft[{-.'
"""What ends a part of JSON, then what begins or continues a short one."""
CONTINUATIONS = (0x80, 0x90, 0xA0)
"""A character that has begun can be ended by these bytes: UTF-8 allows one of them anywhere."""
MAX_HINTS = 32
MAX_VISITS = 16
"""Places that allow the same tokens are alike but for a count; so many of them are looked at."""
MAX_RUN = 20
"""Equal bytes; a number that has more digits has no end."""
MAX_ALTERNATIVES = 16
"""Where a grammar allows no more bytes than these, a search tries all of them."""
MAX_PLACES = 100
"""Places that a search looks at where the simple way finds no end: some 50 ms."""
SEARCHED_STEPS = 48
"""Steps of the simple way from each of these places."""
_SYNTAX = b"^$.*+?()[]{}|\\"
"""Of regular expressions."""
_WITHIN_CHARACTER = bytes(range(0x80, 0xC0))


class Vocabulary:
    """The tokens of a model, and which of them spell single bytes."""

    def __init__(self, tokenizer: LLTokenizer) -> None:
        """Look at each token."""
        self.tokenizer = tokenizer
        self._of_byte: dict[int, int] = {}
        for token in range(tokenizer.vocab_size):
            text = tokenizer.decode_bytes([token])
            if len(text) == 1 and not tokenizer.is_special_token(token):
                self._of_byte.setdefault(text[0], token)
        self.final = tuple(tokenizer.eos_tokens)
        """Tokens that end a text."""

    def text(self, tokens: list[int]) -> bytes:
        """Return what tokens spell, in UTF-8, which may begin or end within a character."""
        return self.tokenizer.decode_bytes(tokens)

    def steps(self, wanted: bytes) -> list[int]:
        """Return the tokens of single bytes, each once, of those that the vocabulary has."""
        distinct = dict.fromkeys(wanted)
        return [self._of_byte[byte] for byte in distinct if byte in self._of_byte]

    def spell(self, text: bytes) -> list[int]:
        """Return few tokens that spell a text, which may begin within a character."""
        rest = text.lstrip(_WITHIN_CHARACTER)
        begun = self.steps(text[: len(text) - len(rest)])
        return begun + self.tokenizer.greedy_tokenize(rest.decode())


class Closing:
    """Finds ends of the answers that one grammar allows."""

    def __init__(self, vocabulary: Vocabulary, hints: bytes = b"") -> None:
        """Prepare.

        Args:
            vocabulary: of the model.
            hints: bytes that the schema's patterns may demand.
        """
        self._vocabulary = vocabulary
        hints = bytes(dict.fromkeys(hints.translate(None, _SYNTAX)))[:MAX_HINTS]
        self._brace = vocabulary.steps(b"}")
        self._only_in_text, self._filler = vocabulary.steps(b"~"), vocabulary.steps(b".")
        self._hinted = vocabulary.steps(b'"' + hints)
        self._usual = vocabulary.steps(PREFERRED + hints)
        every = PREFERRED + hints + printable.encode() + bytes(CONTINUATIONS)
        self._steps = vocabulary.steps(every)

    def find(self, matcher: LLMatcher, most: int, *, thoroughly: bool = True) -> list[int] | None:
        """Return tokens with which an answer ends as the grammar wants, not always the fewest.

        Args:
            matcher: where the answer is; it stays there.
            most: tokens that the end may have.
            thoroughly: search, which takes up to 0.1 s, where the simple way finds no end.

        Returns:
            The tokens; ``None`` if no such end was found.
        """
        steps = 4 * most  # of single bytes, of which tokens have several
        found = self._straight(matcher, steps)
        if found is None and thoroughly:
            hinted, usual = self._hinted, self._usual
            found = self._search(matcher, hinted, steps) or self._search(matcher, usual, steps)
        if found is None:
            return None
        spelled = self._vocabulary.spell(self._vocabulary.tokenizer.decode_bytes(found))
        if len(spelled) < len(found) and ends(matcher, spelled):
            found = spelled
        return found if len(found) <= most else None

    def _straight(self, matcher: LLMatcher, most: int) -> list[int] | None:
        """Take the first byte that the grammar allows, again and again."""
        probe = matcher.deep_copy()
        found: list[int] = []
        while not probe.is_accepting():
            taken = probe.compute_ff_tokens() or self._simplest(probe)
            found += taken
            stuck = len(found) > MAX_RUN and len({*found[-MAX_RUN:]}) == 1
            if stuck and taken != self._filler:
                return None
            if not taken or len(found) > most or not probe.consume_tokens(taken):
                return None
        return found

    def _search(self, matcher: LLMatcher, steps: list[int], most: int) -> list[int] | None:
        """Look for an end of one byte, then of two …: some patterns have none straight on."""
        waiting: deque[list[int]] = deque([[]])
        visits: Counter[bytes] = Counter()
        for _ in range(MAX_PLACES):
            if not waiting:
                break
            path = waiting.popleft()
            probe = matcher.deep_copy()
            if not probe.consume_tokens(path):
                continue
            forced = probe.compute_ff_tokens()
            path = path + forced
            if len(path) > most or not probe.consume_tokens(forced):
                continue
            rest = self._straight(probe, SEARCHED_STEPS)
            if rest is not None:
                return path + rest
            place = probe.compute_bitmask()
            visits[place] += 1
            if visits[place] <= MAX_VISITS:
                every = [*islice(self._allowed(probe, self._steps), MAX_ALTERNATIVES + 1)]
                tried = self._allowed(probe, steps) if len(every) > MAX_ALTERNATIVES else every
                waiting += [[*path, step] for step in tried]
        return None

    def _simplest(self, matcher: LLMatcher) -> list[int]:
        """Return the token of the first byte that the grammar allows; nothing: it allows none."""
        step = [*islice(self._allowed(matcher, self._steps), 1)]
        if step == self._brace and matcher.validate_tokens(self._only_in_text):
            return self._filler  # in a text that is too short to end
        return step

    def _allowed(self, matcher: LLMatcher, steps: list[int]) -> Iterator[int]:
        return (step for step in steps if matcher.validate_tokens([step]))


def ends(matcher: LLMatcher, tokens: list[int]) -> bool:
    """Return whether an answer may go on with these tokens and end after them."""
    probe = matcher.deep_copy()
    return probe.consume_tokens(tokens) and probe.is_accepting()
