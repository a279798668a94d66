"""How much room a conversation leaves for its answer, and which answers by a schema fit into it."""

from typing import Any

from shared.errors import BadRequest, UnusableChat
from shared.options import Options
from workers.runtime import generation
from workers.runtime.chat_inputs import Turn
from workers.runtime.generation import GenerationParameters
from workers.runtime.grammar.answer import Answer
from workers.runtime.grammar.writing import Writing


class Room:
    """The positions of one model."""

    def __init__(
        self,
        model: Any,  # noqa: ANN401 - not typed
        defaults: GenerationParameters,
        writing: Writing | None,
    ) -> None:
        """Measure a model.

        Args:
            model: one that chats.
            defaults: of generation.
            writing: begins answers by schemas; ``None``: nothing can.
        """
        self._positions = generation.positions(model)
        self._defaults, self._writing = defaults, writing

    def behind(self, given: int) -> int:
        """Return how many tokens fit behind a conversation of ``given`` tokens."""
        return self._positions - given

    def limit(self, given: int, options: Options) -> int:
        """Return the most tokens of an answer to a conversation of ``given`` tokens."""
        return generation.token_limit(options, self._defaults, self.behind(given))

    def check(self, wanted: object, options: Options) -> None:
        """Raise an error if no answer of a form can be given.

        Raises:
            UnusableForm: the JSON schema cannot be used.
            TooFewTokens: it needs more tokens than the options allow.
        """
        if self._writing:
            self._writing.begin(wanted, self.limit(0, options), options)

    def begin(self, turn: Turn, given: int, options: Options) -> Answer | BadRequest | None:
        """Begin an answer by a grammar; ``None``: the turn asks for free text.

        Args:
            turn: the conversation.
            given: its tokens, with those of images.
            options: of the batch.

        Returns:
            The answer, or why there is not enough room for any.
        """
        if given >= self._positions:
            return UnusableChat(
                f"The conversation has {given} tokens with its images, and the model has room for "
                f"{self._positions}, answer included: send less text, or fewer or smaller images."
            )
        if self._writing is None:
            return None
        limit = self.limit(given, options)
        try:
            return self._writing.begin(turn.format, limit, options)
        except BadRequest as err:
            if limit == self.limit(0, options):
                return err
            return UnusableChat(
                f"The conversation has {given} tokens with its images, which leaves {limit} of the "
                f"model's {self._positions}: too few for an answer by the JSON schema."
            )
