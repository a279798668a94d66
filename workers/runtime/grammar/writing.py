"""Answers by schemas for a model that chats: what its batches need of this room."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from transformers import LogitsProcessor

from shared.answer_schema import ANY_OBJECT
from shared.options import Options
from workers.runtime import generation
from workers.runtime.grammar.answer import Answer
from workers.runtime.grammar.compiling import Grammars
from workers.runtime.grammar.processor import GrammarProcessor, Masks
from workers.runtime.grammar.steering import Steering


class Writing:
    """Has one model write answers by schemas."""

    def __init__(self, tokenizer: Any, ends: Sequence[int]) -> None:  # noqa: ANN401 - not typed
        """Prepare for a model's tokenizer.

        Args:
            tokenizer: a fast one of transformers.
            ends: tokens that end a text.

        Raises:
            ValueError: llguidance cannot read the tokenizer.
        """
        self._grammars = Grammars(tokenizer, ends, generation.MAX_NEW_TOKENS)
        self._masks = Masks(self._grammars.tokenizer.vocab_size)

    def begin(self, wanted: object, limit: int, options: Options) -> Answer | None:
        """Begin an answer; ``None``: it is free text.

        Args:
            wanted: a JSON schema, or ``json``; anything else is no form.
            limit: most tokens.
            options: have the stop words.

        Raises:
            UnusableForm: the schema cannot be used.
            TooFewTokens: it needs more tokens.
        """
        schema = ANY_OBJECT if wanted == "json" else wanted
        if not isinstance(schema, dict):
            return None
        stop = partial(generation.stop_at, options=options) if options.stop_words else None
        return Answer(self._grammars.compile(schema), self._grammars, limit, stop)

    def steering(self, answers: Sequence[Answer | None]) -> Steering | None:
        """Return what steers a batch to the most probable answers; none if all is free."""
        return Steering(answers, self._masks) if any(answers) else None

    def processors(
        self, answers: Sequence[Answer | None], arguments: Mapping[str, Any]
    ) -> list[LogitsProcessor]:
        """Return what has ``generate`` write a batch with these arguments; none if all is free.

        Args:
            answers: by row; ``None``: free text.
            arguments: all that say how tokens are drawn, those of the checkpoint too.
        """
        if not any(answers):
            return []
        warpers = generation.warpers(arguments)
        return [GrammarProcessor(answers, self._masks, warpers if arguments["do_sample"] else None)]
