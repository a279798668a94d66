"""Kosmos-2: captions with grounded phrases, and labels made of these phrases."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from PIL import Image
from transformers import AutoProcessor, Kosmos2ForConditionalGeneration
from transformers.generation.logits_process import LogitsProcessorList

from shared.messages import Instructions
from shared.tasks import CAPTION, LABELS
from shared.tasks.labels import Label
from workers.families.kosmos2_steps import Kosmos2Steps
from workers.model.family import Answer, LoadContext, brief
from workers.runtime import generation
from workers.runtime.captioning import CaptioningModel, caption_or_none
from workers.runtime.device import DtypeName
from workers.runtime.generation import GenerationParameters, TokenProbabilities
from workers.runtime.phrases import Found, box_area, labels_of
from workers.runtime.pretrained import Pretrained

GROUNDING = "<grounding>"
CAPTION_PROMPT = f"{GROUNDING}An image of"
LABELS_PROMPT = f"{GROUNDING}Describe this image in detail:"
"""Both are from the model card; the second makes the model name more things."""
BLANK_SIDE_PX = 32
MAX_PROMPT_CHARACTERS = 8192
"""A longer one would take more tokens than the model has positions for."""
_TEXT_INPUTS = ("input_ids", "attention_mask", "image_embeds_position_mask")
Box = tuple[float, float, float, float]
"""Left, top, right, bottom, as fractions of the image's sides."""
Entity = tuple[str, tuple[int, int], list[Box]]
"""A grounded phrase, its span in the text, and its boxes."""


class Kosmos2Parameters(GenerationParameters):
    """Defaults of Kosmos-2."""

    max_new_tokens: int = 128
    min_confidence: float = 0.2
    caption_prompt: str = CAPTION_PROMPT
    labels_prompt: str = LABELS_PROMPT


class Kosmos2(CaptioningModel):
    """Captions and labels. A prompt that begins with ``<grounding>`` is used, others are ignored.

    The model does not follow instructions. Labels are the phrases that it grounded in boxes.
    """

    CPU_DTYPE: ClassVar[DtypeName] = "int8"

    def __init__(self, context: LoadContext) -> None:
        """Load the model and its processor."""
        self._defaults = Kosmos2Parameters.model_validate(context.spec.parameters)
        self._pretrained = Pretrained(context, self._defaults, self.CPU_DTYPE)
        self._processor = self._pretrained.processor(AutoProcessor)
        images = self._pretrained.images(self._processor.image_processor)
        self.preparation, self.prepare = images.preparation, images.prepare
        self._model = self._pretrained.model(Kosmos2ForConditionalGeneration)
        convert = self._processor.tokenizer.convert_tokens_to_ids
        self._phrase_begin, self._phrase_end = convert("<phrase>"), convert("</phrase>")
        self._blank = Image.new("RGB", (BLANK_SIDE_PX, BLANK_SIDE_PX))
        # The image comes first in each prompt, so its places are the same in all of them.
        try:
            encoded = self._encode(CAPTION_PROMPT)
        except Exception as err:  # transformers expects a vocabulary with all that it needs
            raise self._pretrained.damaged(brief(err)) from err
        slots = encoded["image_embeds_position_mask"][0].nonzero()[:, 0]
        self._static = generation.static_decoder(
            Kosmos2Steps(self._model, slots),
            self._model.text_model.generation_config,
            self._defaults,
            self._pretrained,
            beams=1,
        )

    @torch.inference_mode()
    def generate(self, images: Sequence[torch.Tensor], instructions: Instructions) -> list[Answer]:
        """Generate one text per prepared image; all tasks answer from it."""
        prompt, inputs = self._prompt(instructions)
        given = inputs["input_ids"].shape[1]
        room = generation.positions(self._model) - given
        arguments = generation.arguments(instructions.options, self._defaults, self._decode, room)
        pixels = self._pretrained.batch(list(images))
        if self._static and generation.is_plain(arguments):
            tokens = inputs["input_ids"][0].tolist()
            new, known = self._static.generate(pixels, tokens, arguments["max_new_tokens"])
            rows = [] if known is None else known.tolist()
        else:
            generation.seed(instructions.options)
            new, rows = self._generate(pixels, inputs, arguments)
        self.steps += new.shape[1]
        return [
            self._answer(row, probabilities_of_row, prompt, instructions)
            for row, probabilities_of_row in zip(new, rows, strict=True)
        ]

    def _generate(
        self, pixels: torch.Tensor, inputs: Mapping[str, torch.Tensor], arguments: dict[str, Any]
    ) -> tuple[torch.Tensor, list[list[float]]]:
        """Return the new tokens, (N, length), and their probabilities, of transformers' loop."""
        probabilities = TokenProbabilities()
        tokens = self._model.generate(
            pixel_values=pixels,
            logits_processor=LogitsProcessorList([probabilities]),
            **{name: inputs[name].expand(len(pixels), -1) for name in inputs},
            **arguments | {"num_beams": 1},
        )
        new = tokens[:, inputs["input_ids"].shape[1] :]
        return new, probabilities.rows() or [[] for _ in new]

    def _prompt(self, instructions: Instructions) -> tuple[str, dict[str, torch.Tensor]]:
        """Return the prompt, not the client's if that is too long, and its tokens, (1, length)."""
        prompt = pick_prompt(instructions, self._defaults)
        inputs = self._encode(prompt)
        if inputs["input_ids"].shape[1] > generation.positions(self._model) // 2:
            prompt = pick_prompt(Instructions(tasks=instructions.tasks), self._defaults)
            inputs = self._encode(prompt)
        return prompt, inputs

    def _encode(self, prompt: str) -> dict[str, torch.Tensor]:
        # The text has placeholders for the image, the same for any: encode it with a blank one.
        text = self._processor(text=prompt, images=self._blank, return_tensors="pt")
        return {name: text[name].to(self._pretrained.device) for name in _TEXT_INPUTS}

    def _read(self, tokens: torch.Tensor) -> tuple[str, list[Entity]]:
        """Return the text of one row of new tokens, (length,), and the phrases grounded in it."""
        raw = self._processor.tokenizer.decode(tokens, skip_special_tokens=True)
        text, entities = self._processor.post_process_generation(raw)
        return text, entities

    def _decode(self, tokens: torch.Tensor) -> list[str]:
        return [self._read(row)[0] for row in tokens]

    def _answer(
        self,
        tokens: torch.Tensor,
        probabilities: list[float],
        prompt: str,
        instructions: Instructions,
    ) -> Answer:
        text, entities = self._read(tokens)
        labels: tuple[Label, ...] = ()
        if LABELS in instructions.tasks:
            confidences = self._confidences(tokens.tolist(), probabilities)
            found = labels_from_phrases(entities, confidences)
            labels = tuple(x for x in found if x.confidence >= self._defaults.min_confidence)
        text = _sentence(generation.cut(text, instructions.options), prompt)
        return {CAPTION: caption_or_none(text), LABELS: labels}

    def _confidences(self, tokens: list[int], probabilities: list[float]) -> list[float]:
        """Return the mean probability of the tokens of each phrase, in order."""
        confidences: list[float] = []
        inside: list[float] | None = None
        for token, probability in zip(tokens, probabilities, strict=False):
            if token == self._phrase_begin:
                inside = []
            elif token == self._phrase_end and inside is not None:
                confidences.append(generation.mean(inside))
                inside = None
            elif inside is not None:
                inside.append(probability)
        return confidences


def pick_prompt(instructions: Instructions, defaults: Kosmos2Parameters) -> str:
    """Return the client's prompt when the model can use it, else the one for the tasks."""
    prompt = instructions.prompt.strip()
    if prompt.startswith(GROUNDING) and len(prompt) <= MAX_PROMPT_CHARACTERS:
        return prompt
    return defaults.caption_prompt if CAPTION in instructions.tasks else defaults.labels_prompt


def labels_from_phrases(entities: Iterable[Entity], confidences: Sequence[float]) -> list[Label]:
    """Turn grounded phrases into labels: "a snowman" becomes ``snowman``.

    Args:
        entities: grounded phrases, in order.
        confidences: of the phrases, in order; 0 for those beyond its end.

    Topicality is the fraction of the image that the phrase's largest box covers.
    """
    return labels_of(
        Found(
            phrase,
            confidences[number] if number < len(confidences) else 0.0,
            max((box_area(box) for box in boxes), default=0.0),
        )
        for number, (phrase, _, boxes) in enumerate(entities)
    )


def _sentence(text: str, prompt: str) -> str:
    """Return the caption without the prompt's words, with a capital letter."""
    opening = prompt.removeprefix(GROUNDING)
    text = text.removeprefix(opening).strip()
    return text[:1].upper() + text[1:]
