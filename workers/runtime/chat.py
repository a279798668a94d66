"""Generation by chat models: a batch of conversations about images becomes texts."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import structlog
import torch
from transformers import (
    AutoModelForImageTextToText,
    GenerationConfig,
    LogitsProcessorList,
    StoppingCriteriaList,
)

from shared.errors import BadRequest
from shared.options import Options
from shared.tasks.answer import Usage
from shared.units import MEGA
from workers.model.device_errors import is_device_fault, is_out_of_memory
from workers.model.family import brief
from workers.preparing import pixels
from workers.preparing.preparation import Preparation, Prepared
from workers.runtime import chat_images, generation
from workers.runtime.chat_answers import AnswerTexts, Lengths
from workers.runtime.chat_inputs import ChatInputs, Turn
from workers.runtime.chat_processor import ChatProcessor
from workers.runtime.decoding.conversations import (
    MOST_DIFFERENCE,
    ConversationDecoder,
    Decoding,
)
from workers.runtime.device import float_type
from workers.runtime.generation import GenerationParameters
from workers.runtime.grammar.answer import Answer
from workers.runtime.grammar.writing import Writing
from workers.runtime.image_budget import limits
from workers.runtime.loops import LoopStop
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
        self._model: Any = pretrained.model(AutoModelForImageTextToText, in_four_bits=in_four_bits)
        if grids := settings.get("image_grid_pinpoints"):
            self._model.config.image_grid_pinpoints = grids  # it puts tiles together by the same
        self._writing = _writing(processor.tokenizer, self._model.generation_config)
        config = self._model.generation_config
        self._lengths = Lengths(_ends(processor.tokenizer, config), config.pad_token_id)
        self._is_compared = False
        self._static = generation.conversation_decoder(self._model, defaults, pretrained)

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
        if len({self._limit(length, options) for length in lengths}) > 1:
            # One conversation is so long that the answers to the others would be cut with its own.
            return [answer for turn in turns for answer in self.generate([turn], options)]
        begun = [
            self._begin(turn, length, options) for turn, length in zip(turns, lengths, strict=True)
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
        given = inputs["input_ids"].shape[1]
        thought = self._inputs.open_thought(turns[0])

        def decode(tokens: torch.Tensor) -> list[str]:
            return self._texts.decode(tokens, thought)

        room = generation.positions(self._model) - given
        arguments = generation.arguments(options, self._defaults, decode, room)
        if any(answers):
            arguments["num_beams"] = 1
        stops = arguments.pop("stopping_criteria", StoppingCriteriaList())
        by_grammar = [answer is not None for answer in answers]
        generation.seed(options)
        if static := self._statically(arguments, stops, answers):
            stops.append(LoopStop(0, by_grammar))
            try:
                tokens = self._with(static, inputs)
            except Exception as err:  # of any type of model, which generate may well know
                if is_out_of_memory(err) or is_device_fault(err):
                    raise
                return self._again(turns, options, err)
        else:
            stops.append(LoopStop(given, by_grammar))
            processors = self._writing.processors(answers, arguments) if self._writing else []
            tokens = self._model.generate(
                **inputs,
                logits_processor=LogitsProcessorList(processors),
                stopping_criteria=stops,
                **arguments,
            )[:, given:]
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

    def _again(
        self, turns: Sequence[Turn], options: Options, cause: Exception
    ) -> list[Text | BadRequest]:
        """Have transformers' own loop write, and leave all further texts to it if it can."""
        static, reason = self._static, f"tensors of fixed shape failed: {brief(cause)}"
        log.warning("conversations are decoded by transformers' own loop", cause=reason)
        self._static = f"transformers' own loop decodes, as {reason}"
        try:
            texts = self.generate(turns, options)
        except BaseException:
            self._static = static
            raise
        if isinstance(static, ConversationDecoder):
            static.release()
        return texts

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
        config = self._model.generation_config
        chosen = generation.sampling_defaults(config) | dict(arguments)
        return Decoding(
            arguments["max_new_tokens"],
            stops,
            arguments.get("repetition_penalty") or config.repetition_penalty or 1.0,
            generation.warpers(chosen) if draws else None,
            self._writing.steering(answers) if self._writing else None,
        )

    @property
    def acceleration(self) -> str:
        """How the most probable texts are decoded, for operators."""
        static = self._static
        return f"none: {static}" if isinstance(static, str) else static.description

    @property
    def keeps_forms(self) -> bool:
        """Whether answers have the form that is asked for."""
        return self._writing is not None

    def check(self, wanted: object, options: Options) -> None:
        """Raise an error if no answer of a form can be given.

        Raises:
            BadRequest: the JSON schema cannot be used, or needs more tokens than the options allow.
        """
        if self._writing:
            self._writing.begin(wanted, self._limit(0, options), options)

    def _limit(self, given: int, options: Options) -> int:
        """Return the most tokens of an answer to a conversation of ``given`` tokens."""
        room = generation.positions(self._model) - given
        return generation.token_limit(options, self._defaults, room)

    def _begin(self, turn: Turn, given: int, options: Options) -> Answer | BadRequest | None:
        """Begin an answer by a grammar; ``None``: the turn asks for free text.

        Args:
            turn: the conversation.
            given: its tokens, with those of images.
            options: of the batch.

        Returns:
            The answer, or why there is not enough room for any.
        """
        positions = generation.positions(self._model)
        if given >= positions:
            return BadRequest(
                f"The conversation has {given} tokens with its images, and the model has room for "
                f"{positions}, answer included: send less text, or fewer or smaller images."
            )
        if self._writing is None:
            return None
        limit = self._limit(given, options)
        try:
            return self._writing.begin(turn.format, limit, options)
        except BadRequest as err:
            if limit == self._limit(0, options):
                return err
            return BadRequest(
                f"The conversation has {given} tokens with its images, which leaves {limit} of the "
                f"model's {positions}: too few for an answer by the JSON schema."
            )


def _ends(tokenizer: Any, config: GenerationConfig) -> list[int]:  # noqa: ANN401
    """Return the tokens of which one ends a text."""
    ends = config.eos_token_id if config.eos_token_id is not None else tokenizer.eos_token_id
    return ends if isinstance(ends, list) else [ends]


def _writing(tokenizer: Any, config: GenerationConfig) -> Writing | None:  # noqa: ANN401
    """Return what writes answers by schemas; ``None``, and a line in the log: nothing can."""
    try:
        return Writing(tokenizer, _ends(tokenizer, config))
    except ValueError as err:
        log.warning("answers by schemas are not enforced", reason=str(err))
        return None


def _changed(processor: Any, settings: Mapping[str, Any]) -> Any:  # noqa: ANN401 - not typed
    """Return an image processor with other settings."""
    return type(processor).from_dict({**processor.to_dict(), **settings}) if settings else processor
