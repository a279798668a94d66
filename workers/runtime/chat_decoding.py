"""Writes the tokens of conversations: in tensors of fixed shape, or by transformers' own loop.

Which of both it is depends on the model and on what a batch asks for. Where the first fails,
transformers' own loop writes that batch and all further ones.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import structlog
import torch
from transformers import LogitsProcessorList, StoppingCriteriaList

from workers.model.device_errors import is_device_fault, is_out_of_memory
from workers.model.family import brief
from workers.runtime import generation
from workers.runtime.decoding.conversations import (
    MOST_DIFFERENCE,
    ConversationDecoder,
    Decoding,
)
from workers.runtime.generation import GenerationParameters
from workers.runtime.grammar.answer import Answer
from workers.runtime.grammar.writing import Writing
from workers.runtime.loops import LoopStop
from workers.runtime.pretrained import Pretrained

log = structlog.get_logger(__name__)


class StaticFailed(Exception):
    """Tensors of fixed shape failed for the cause; what was begun by a grammar is of no use."""


class ChatDecoder:
    """Writes with one model."""

    def __init__(
        self,
        model: Any,  # noqa: ANN401 - not typed
        defaults: GenerationParameters,
        pretrained: Pretrained,
        writing: Writing | None,
    ) -> None:
        """Choose the way.

        Args:
            model: one that chats.
            defaults: of generation.
            pretrained: device and dtype.
            writing: writes answers by schemas; ``None``: nothing can.
        """
        self._model, self._writing = model, writing
        self._is_compared = False
        self._static = generation.conversation_decoder(model, defaults, pretrained)

    @property
    def description(self) -> str:
        """How the most probable texts are decoded, for operators."""
        static = self._static
        return f"none: {static}" if isinstance(static, str) else static.description

    def write(
        self,
        inputs: Any,  # noqa: ANN401 - a ``BatchFeature``
        arguments: dict[str, Any],
        answers: Sequence[Answer | None],
    ) -> torch.Tensor:
        """Return the new tokens of each row, (rows, new).

        Args:
            inputs: of ``generate``, on the device.
            arguments: of ``generate`` for the batch.
            answers: by a grammar, for each row; ``None``: the row is free.

        Raises:
            StaticFailed: the batch is to be begun anew, :meth:`without_static`.
        """
        stops = arguments.pop("stopping_criteria", StoppingCriteriaList())
        by_grammar = [answer is not None for answer in answers]
        if static := self._statically(arguments, stops, answers):
            stops.append(LoopStop(0, by_grammar))
            try:
                return self._with(static, inputs)
            except Exception as err:  # of any type of model, which generate may well know
                if is_out_of_memory(err) or is_device_fault(err):
                    raise
                raise StaticFailed from err
        given = inputs["input_ids"].shape[1]
        stops.append(LoopStop(given, by_grammar))
        chosen = self._chosen(arguments)
        processors = self._writing.processors(answers, chosen) if self._writing else []
        tokens: torch.Tensor = self._model.generate(
            **inputs,
            logits_processor=LogitsProcessorList(processors),
            stopping_criteria=stops,
            **arguments,
        )
        return tokens[:, given:]

    @contextmanager
    def without_static(self, failed: StaticFailed) -> Iterator[None]:
        """Leave texts to transformers' own loop, and for good if it can what is done within."""
        static, reason = self._static, f"tensors of fixed shape failed: {_cause(failed)}"
        log.warning("conversations are decoded by transformers' own loop", cause=reason)
        self._static = f"transformers' own loop decodes, as {reason}"
        try:
            yield
        except BaseException:
            self._static = static
            raise
        if isinstance(static, ConversationDecoder):
            static.release()

    def _with(self, decoding: Decoding, inputs: Any) -> torch.Tensor:  # noqa: ANN401
        """Return new tokens, written in tensors of fixed shape.

        Raises:
            RuntimeError: the first steps are not what transformers' own loop makes of them.
        """
        decoder = self._static
        assert isinstance(decoder, ConversationDecoder)  # noqa: S101 - asked by the caller
        if not self._is_compared and (difference := decoder.difference(inputs)) > MOST_DIFFERENCE:
            msg = f"scores of tokens differ by {difference:.2f} of what they vary by"
            raise RuntimeError(msg)
        self._is_compared = True
        return decoder.generate(inputs, decoding)

    def _statically(
        self,
        arguments: Mapping[str, Any],
        stops: StoppingCriteriaList,
        answers: Sequence[Answer | None],
    ) -> Decoding | None:
        """Return how a batch is written in tensors of fixed shape; ``None``: it cannot be."""
        draws, steered = arguments["do_sample"], any(answers)
        if isinstance(self._static, str) or arguments["num_beams"] > 1 or (draws and steered):
            return None
        return Decoding(
            arguments["max_new_tokens"],
            stops,
            arguments.get("repetition_penalty")
            or self._model.generation_config.repetition_penalty
            or 1.0,
            generation.warpers(self._chosen(arguments)) if draws else None,
            self._writing.steering(answers) if self._writing else None,
        )

    def _chosen(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return arguments of ``generate`` with what it would add to them for sampling."""
        return generation.sampling_defaults(self._model.generation_config) | dict(arguments)


def _cause(failed: StaticFailed) -> str:
    return brief(failed.__cause__ or failed)
