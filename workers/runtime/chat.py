"""Generation by chat models: a batch of conversations about images becomes texts."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import structlog
import torch
from transformers import AutoModelForImageTextToText, GenerationConfig

from shared.errors import BadRequest
from shared.options import Options
from shared.tasks.answer import Usage
from shared.units import MEGA
from workers.preparing import pixels
from workers.preparing.preparation import Preparation, Prepared
from workers.runtime import chat_images, generation
from workers.runtime.chat_answers import AnswerTexts, Lengths
from workers.runtime.chat_decoding import ChatDecoder, StaticFailed
from workers.runtime.chat_inputs import ChatInputs, Turn
from workers.runtime.chat_processor import ChatProcessor
from workers.runtime.chat_room import Room
from workers.runtime.device import float_type
from workers.runtime.generation import GenerationParameters
from workers.runtime.grammar.answer import Answer
from workers.runtime.grammar.writing import Writing
from workers.runtime.image_budget import limits
from workers.runtime.pretrained import Pretrained

log = structlog.get_logger(__name__)


class Text(NamedTuple):
    """What a model has written in a conversation."""

    text: str
    is_cut: bool = False
    """Whether the limit of tokens has ended it."""
    usage: Usage | None = None


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
        *,
        in_four_bits: bool = False,
    ) -> None:
        """Load the processor, then the model.

        Args:
            pretrained: the checkpoint.
            defaults: of generation.
            max_pixels: how much of an image the model sees.
            images: settings of the image processor that take precedence.
            in_four_bits: whether weights have four bits.

        Raises:
            LoadError: see :class:`Pretrained` and :class:`ChatInputs`.
        """
        self._pretrained, self._defaults = pretrained, defaults
        processor = pretrained.processor(ChatProcessor)
        settings = limits(processor.image_processor, max_pixels) | dict(images)
        processor.image_processor = _changed(processor.image_processor, settings)
        self._inputs = ChatInputs(processor)
        dtype = float_type(pretrained.dtype)
        self._images = chat_images.replace(self._inputs, pretrained.device, dtype)
        self.preparation: Preparation = (
            self._images.preparation if self._images else pixels.whole(max_pixels / MEGA)
        )
        self._texts = AnswerTexts(processor.tokenizer)
        model = pretrained.model(AutoModelForImageTextToText, in_four_bits=in_four_bits)
        if grids := settings.get("image_grid_pinpoints"):
            model.config.image_grid_pinpoints = grids  # it puts tiles together by the same
        ends = _ends(processor.tokenizer, model.generation_config)
        self._lengths = Lengths(ends, model.generation_config.pad_token_id)
        writing = _writing(processor.tokenizer, ends)
        self.keeps_forms = writing is not None
        """Whether answers have the form that is asked for."""
        self._room = Room(model, defaults, writing)
        self._decoder = ChatDecoder(model, defaults, pretrained, writing)

    def prepare(self, image: Prepared) -> Any:  # noqa: ANN401 - the processor's own input
        """Return an image of :attr:`preparation` as part of a message."""
        return self._images.prepare(image) if self._images else pixels.unpacked(image)

    @torch.inference_mode()
    def generate(self, turns: Sequence[Turn], options: Options) -> list[Text | BadRequest]:
        """Return the text that the model writes in each conversation, at most to a stop word.

        Args:
            turns: the batch; all of them think, or none.
            options: for all of them.

        Returns:
            The texts; in place of one, why that conversation cannot be continued.
        """
        inputs = self._inputs.encode(turns)
        if inputs is None:
            return self._without_refused(turns, list(map(self._inputs.refusal, turns)), options)
        lengths: list[int] = inputs["attention_mask"].sum(1).tolist()
        if len({self._room.limit(length, options) for length in lengths}) > 1:
            # One conversation is so long that the answers to the others would be cut with its own.
            return [answer for turn in turns for answer in self.generate([turn], options)]
        begun = [
            self._room.begin(turn, length, options)
            for turn, length in zip(turns, lengths, strict=True)
        ]
        refusals = [answer if isinstance(answer, BadRequest) else None for answer in begun]
        if any(refusals):
            return self._without_refused(turns, refusals, options)
        answers = [answer for answer in begun if not isinstance(answer, BadRequest)]
        return self._continued(turns, inputs, lengths, answers, options)

    def _without_refused(
        self, turns: Sequence[Turn], refusals: Sequence[BadRequest | None], options: Options
    ) -> list[Text | BadRequest]:
        left = [turn for turn, refusal in zip(turns, refusals, strict=True) if not refusal]
        texts = iter(self.generate(left, options) if left else [])
        return [refusal or next(texts) for refusal in refusals]

    def _continued(
        self,
        turns: Sequence[Turn],
        inputs: Any,  # noqa: ANN401 - a ``BatchFeature``
        lengths: Sequence[int],
        answers: Sequence[Answer | None],
        options: Options,
    ) -> list[Text | BadRequest]:
        device, dtype = self._pretrained.device, float_type(self._pretrained.dtype)
        inputs = inputs.to(device, dtype)
        thought = self._inputs.open_thought(turns[0])

        def decode(tokens: torch.Tensor) -> list[str]:
            return self._texts.decode(tokens, thought)

        room = self._room.behind(inputs["input_ids"].shape[1])
        arguments = generation.arguments(options, self._defaults, decode, room)
        if any(answers):
            arguments["num_beams"] = 1
        generation.seed(options)
        try:
            tokens = self._decoder.write(inputs, arguments, answers)
        except StaticFailed as failed:
            with self._decoder.without_static(failed):
                return self.generate(turns, options)
        self.steps += tokens.shape[1]
        tokens = tokens.cpu()
        texts, written = decode(tokens), self._lengths.of(tokens)
        was_limit_reached = tokens.shape[1] >= arguments["max_new_tokens"]
        return [
            self._written(
                answers[row],
                texts[row],
                options,
                has_ended=has_end or not was_limit_reached,
                usage=Usage(given=lengths[row], written=count),
            )
            for row, (count, has_end) in enumerate(written)
        ]

    def _written(
        self,
        answer: Answer | None,
        text: str,
        options: Options,
        *,
        has_ended: bool,
        usage: Usage,
    ) -> Text:
        """Return a text up to its first stop word, or an answer as it is.

        Args:
            answer: by a grammar; ``None``: the text is free.
            text: all of it.
            options: have the stop words.
            has_ended: whether it ended before the limit of tokens.
            usage: tokens of the conversation.
        """
        if answer:
            return Text(answer.text, not has_ended, usage)
        short = generation.cut(text, options)
        return Text(short, not has_ended and len(short) == len(text), usage)

    @property
    def acceleration(self) -> str:
        """How the most probable texts are decoded, for operators."""
        return self._decoder.description

    def check(self, wanted: object, options: Options) -> None:
        """Raise an error if no answer of a form can be given.

        Raises:
            UnusableForm: the JSON schema cannot be used.
            TooFewTokens: it needs more tokens than the options allow.
        """
        self._room.check(wanted, options)


def _ends(tokenizer: Any, config: GenerationConfig) -> list[int]:  # noqa: ANN401
    """Return the tokens of which one ends a text."""
    ends = config.eos_token_id if config.eos_token_id is not None else tokenizer.eos_token_id
    return ends if isinstance(ends, list) else [ends]


def _writing(tokenizer: Any, ends: Sequence[int]) -> Writing | None:  # noqa: ANN401
    """Return what writes answers by schemas; ``None``, and a line in the log: nothing can."""
    try:
        return Writing(tokenizer, ends)
    except ValueError as err:
        log.warning("answers by schemas are not enforced", reason=str(err))
        return None


def _changed(processor: Any, settings: Mapping[str, Any]) -> Any:  # noqa: ANN401 - not typed
    """Return an image processor with other settings."""
    return type(processor).from_dict({**processor.to_dict(), **settings}) if settings else processor
