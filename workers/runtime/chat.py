"""Generation by chat models: a batch of conversations about images becomes texts."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoModelForImageTextToText, LogitsProcessor, LogitsProcessorList

from shared.messages import Options
from workers.runtime import generation
from workers.runtime.chat_inputs import ChatInputs, Turn
from workers.runtime.chat_processor import ChatProcessor
from workers.runtime.device import float_type
from workers.runtime.generation import GenerationParameters
from workers.runtime.pretrained import Pretrained


class ChatModel:
    """A checkpoint of a type that chats, with its processor."""

    steps = 0
    """Tokens that were generated one after the other so far, those of a batch at once."""

    def __init__(self, pretrained: Pretrained, defaults: GenerationParameters) -> None:
        """Load the processor, then the model.

        Raises:
            LoadError: see :class:`Pretrained` and :class:`ChatInputs`.
        """
        self._pretrained, self._defaults = pretrained, defaults
        self._inputs = ChatInputs(pretrained.processor(ChatProcessor))
        self._model: Any = pretrained.model(AutoModelForImageTextToText)

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
        room = generation.positions(self._model) - given
        arguments = generation.arguments(options, self._defaults, self._inputs.decode, room)
        generation.seed(options)
        processors = self._logits_processors(turns, given)
        tokens = self._model.generate(
            **inputs, logits_processor=LogitsProcessorList(processors), **arguments
        )[:, given:]
        self.steps += tokens.shape[1]
        return [generation.cut(text, options) for text in self._inputs.decode(tokens)]

    def _logits_processors(self, turns: Sequence[Turn], given: int) -> list[LogitsProcessor]:
        """Return what has a word in each step of a batch, whose row i is for turn i.

        Args:
            turns: the batch; ``format`` says which form an answer must have.
            given: length of all prompts, with the padding on their left.
        """
        del turns, given
        return []
