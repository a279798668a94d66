"""Generation by chat models: a batch of conversations about images becomes texts."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import (
    AutoModelForImageTextToText,
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteriaList,
)

from shared.messages import Options
from workers.runtime import generation
from workers.runtime.chat_answers import AnswerTexts
from workers.runtime.chat_inputs import ChatInputs, Turn
from workers.runtime.chat_processor import ChatProcessor
from workers.runtime.device import float_type
from workers.runtime.generation import GenerationParameters
from workers.runtime.image_budget import limits
from workers.runtime.loops import LoopStop
from workers.runtime.pretrained import Pretrained


class ChatModel:
    """A checkpoint of a type that chats, with its processor."""

    steps = 0
    """Tokens that were generated one after the other so far, those of a batch at once."""

    def __init__(
        self,
        pretrained: Pretrained,
        defaults: GenerationParameters,
        max_pixels: int,
        images: Mapping[str, Any],
    ) -> None:
        """Load the processor, then the model.

        Args:
            pretrained: the checkpoint.
            defaults: of generation.
            max_pixels: how much of an image the model sees.
            images: settings of the image processor that take precedence.

        Raises:
            LoadError: see :class:`Pretrained` and :class:`ChatInputs`.
        """
        self._pretrained, self._defaults = pretrained, defaults
        processor = pretrained.processor(ChatProcessor)
        settings = limits(processor.image_processor, max_pixels) | dict(images)
        processor.image_processor = _changed(processor.image_processor, settings)
        self._inputs = ChatInputs(processor)
        self._texts = AnswerTexts(processor.tokenizer)
        self._model: Any = pretrained.model(AutoModelForImageTextToText)
        if grids := settings.get("image_grid_pinpoints"):
            self._model.config.image_grid_pinpoints = grids  # it puts tiles together by the same

    @torch.inference_mode()
    def generate(self, turns: Sequence[Turn], options: Options) -> list[str]:
        """Return the text that the model writes in each conversation, at most to a stop word.

        Args:
            turns: the batch; all of them think, or none.
            options: for all of them.
        """
        device, dtype = self._pretrained.device, float_type(self._pretrained.dtype)
        inputs = self._inputs.encode(turns).to(device, dtype)
        given = inputs["input_ids"].shape[1]
        thought = self._inputs.open_thought(turns[0])

        def decode(tokens: torch.Tensor) -> list[str]:
            return self._texts.decode(tokens, thought)

        room = generation.positions(self._model) - given
        arguments = generation.arguments(options, self._defaults, decode, room)
        stops = arguments.setdefault("stopping_criteria", StoppingCriteriaList())
        stops.append(LoopStop(given, [turn.format is not None for turn in turns]))
        generation.seed(options)
        processors = self._logits_processors(turns, given)
        tokens = self._model.generate(
            **inputs, logits_processor=LogitsProcessorList(processors), **arguments
        )[:, given:]
        self.steps += tokens.shape[1]
        return [generation.cut(text, options) for text in decode(tokens)]

    def _logits_processors(self, turns: Sequence[Turn], given: int) -> list[LogitsProcessor]:
        """Return what has a word in each step of a batch, whose row i is for turn i.

        Args:
            turns: the batch; ``format`` says which form an answer must have.
            given: length of all prompts, with the padding on their left.
        """
        del turns, given
        return []


def _changed(processor: Any, settings: Mapping[str, Any]) -> Any:  # noqa: ANN401 - not typed
    """Return an image processor with other settings."""
    return type(processor).from_dict({**processor.to_dict(), **settings}) if settings else processor
