"""Compiles JSON schemas into grammars for one model, each once."""

import json
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import structlog
from llguidance import LLMatcher, LLParserLimits, LLTokenizer
from llguidance.hf import from_tokenizer

from shared.errors import UnusableForm
from shared.messages import JsonObject
from workers.runtime.grammar.closing import Closing, Vocabulary
from workers.runtime.grammar.schemas import named_properties_only, patterns

log = structlog.get_logger(__name__)

MAX_KEPT = 64
"""Grammars that are kept compiled: some 100 kB each."""
MAX_REASON_CHARACTERS = 200
_STYLE: Any = {
    # As Python's json and the prompts' examples write it; there is no white space without end.
    "item_separator": ", ",
    "key_separator": ": ",
    "whitespace_flexible": False,
    "whitespace_pattern": None,
    "lenient": False,  # a keyword that is not enforced is an error
    "coerce_one_of": True,  # as Ollama takes it
    "json_allowed_escapes": 'nrbtf\\"',  # no control characters
    "json_allow_general_unicode_escapes": False,
}
_LIMITS = LLParserLimits(step_max_items=20_000, verbose_errors=False)
"""Bounds compiling and each step to a fraction of a second, whatever the schema."""


class Grammar:
    """The answers that a schema allows, for one model."""

    def __init__(self, start: LLMatcher, closing: Closing, shortest: list[int] | None) -> None:
        """Keep what was compiled.

        Args:
            start: at the beginning of an answer.
            closing: finds ends of answers.
            shortest: tokens of a short answer; ``None``: none was found.
        """
        self._start, self.closing, self.shortest = start, closing, shortest

    def matcher(self) -> LLMatcher:
        """Return what follows an answer from its beginning."""
        return self._start.deep_copy()


class Grammars:
    """Compiles schemas for the vocabulary of one model, and keeps the grammars last used."""

    def __init__(
        self,
        tokenizer: Any,  # noqa: ANN401 - not typed
        ends: Sequence[int],
        most: int,
    ) -> None:
        """Read a tokenizer, which takes a second where it has 100,000 tokens.

        Args:
            tokenizer: a fast tokenizer of transformers.
            ends: tokens that end a text.
            most: tokens that an answer can have.

        Raises:
            ValueError: llguidance cannot read the tokenizer.
        """
        slices = LLTokenizer.json_slices()
        self.tokenizer = from_tokenizer(tokenizer, len(tokenizer), list(ends), slices)
        self.vocabulary, self._most = Vocabulary(self.tokenizer), most
        self._kept: OrderedDict[str, Grammar | UnusableForm] = OrderedDict()

    def compile(self, schema: JsonObject) -> Grammar:
        """Return the grammar of a JSON schema.

        Raises:
            UnusableForm: there is none; the message says why.
        """
        key = json.dumps(schema, ensure_ascii=False)  # the order of properties counts
        found = self._kept.pop(key, None)
        if found is None:
            try:
                found = self._compile(schema)
            except UnusableForm as err:
                log.info("unusable schema", reason=err.message)
                found = err
        self._kept[key] = found
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        if isinstance(found, UnusableForm):
            raise UnusableForm(found.message)
        return found

    def _compile(self, schema: JsonObject) -> Grammar:
        named = json.dumps(named_properties_only(schema))
        try:
            text = LLMatcher.grammar_from_json_schema(named, overrides=_STYLE)
        except ValueError as err:
            raise _refusal(str(err)) from err
        start = LLMatcher(self.tokenizer, text, log_level=0, limits=_LIMITS)
        if start.is_error():
            raise _refusal(start.get_error())
        closing = Closing(self.vocabulary, "".join(patterns(schema)).encode())
        return Grammar(start, closing, closing.find(start, self._most))


def _refusal(reason: str) -> UnusableForm:
    """Return the error for a schema that llguidance cannot compile."""
    reason = " ".join(reason.split())[:MAX_REASON_CHARACTERS].rstrip(".")
    return UnusableForm(f"The JSON schema cannot be used: {reason}.")
