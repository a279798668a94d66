"""Florence-2: captions of three lengths, and labels of the things that it finds in a picture."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from pydantic import Field
from transformers import AutoImageProcessor, AutoTokenizer, Florence2ForConditionalGeneration
from transformers.generation.logits_process import LogitsProcessorList
from transformers.modeling_outputs import BaseModelOutput

from shared.messages import Instructions
from shared.options import Options
from shared.tasks import CAPTION, LABELS
from shared.tasks.caption import Caption
from shared.tasks.labels import Label
from workers.families.florence2_regions import Regions
from workers.families.florence2_steps import Florence2Steps
from workers.model.family import Answer, LoadContext, brief
from workers.runtime import generation
from workers.runtime.beams import SHARED
from workers.runtime.captioning import CaptioningModel, caption_or_none
from workers.runtime.decoding.decoder import StaticDecoder
from workers.runtime.generation import GenerationParameters, TokenProbabilities
from workers.runtime.phrases import labels_of
from workers.runtime.pretrained import Pretrained

CaptionLength = Literal["short", "detailed", "more_detailed"]
LabelSource = Literal["objects", "regions"]
CAPTION_TASKS: Mapping[CaptionLength, str] = {
    "short": "<CAPTION>",
    "detailed": "<DETAILED_CAPTION>",
    "more_detailed": "<MORE_DETAILED_CAPTION>",
}
LABEL_TASKS: Mapping[LabelSource, str] = {
    "objects": "<OD>", "regions": "<DENSE_REGION_CAPTION>"
}  # fmt: skip
PROMPTS = {
    "<CAPTION>": "What does the image describe?",
    "<DETAILED_CAPTION>": "Describe in detail what is shown in the image.",
    "<MORE_DETAILED_CAPTION>": "Describe with a paragraph what is shown in the image.",
    "<OD>": "Locate the objects with category name in the image.",
    "<DENSE_REGION_CAPTION>": "Locate the objects in the image, with their descriptions.",
}
"""What the model was trained to be asked, as in transformers' ``Florence2Processor``."""
_WORDS: Mapping[CaptionLength, re.Pattern[str]] = {
    "more_detailed": re.compile(
        r"\b(?:more|very|highly)[ -]detailed\b|\bparagraph\b", re.IGNORECASE
    ),
    "detailed": re.compile(
        r"\b(?:detailed|in detail|(?:[2-5]|two|three|four|five|several|a few) sentences)\b",
        re.IGNORECASE,
    ),
    "short": re.compile(
        r"\b(?:short|brief|briefly|concise|(?:one|a single) sentence)\b", re.IGNORECASE
    ),
}
"""What people call the lengths, the longest first. PhotoPrism's prompt has "briefly" as well as "up
to 3 sentences".
"""


class Florence2Parameters(GenerationParameters):
    """Defaults of Florence-2."""

    max_new_tokens: int = 192
    caption: CaptionLength = Field("detailed", description="length of captions without a prompt")
    labels: tuple[LabelSource, ...] = Field(
        ("objects", "regions"),
        min_length=1,
        description="`objects`: names of things; `regions`: phrases, such as `red car`",
    )
    max_label_tokens: int = Field(256, gt=0, description="most tokens for all labels of a kind")
    min_confidence: float = 0.2


class Florence2(CaptioningModel):
    """Captions and labels. A prompt chooses the length of captions, in the model's words or others.

    ``<CAPTION>``, ``<DETAILED_CAPTION>`` and ``<MORE_DETAILED_CAPTION>`` are the model's; "short",
    "detailed" and "more detailed" are understood as well. Other prompts are ignored: the model was
    trained with a few questions only. Options are for captions; labels are the most probable ones.
    """

    def __init__(self, context: LoadContext) -> None:
        """Load the model, its tokenizer and its image processor."""
        self._defaults = Florence2Parameters.model_validate(context.spec.parameters)
        self._pretrained = Pretrained(context, self._defaults)
        self._tokenizer = self._pretrained.processor(AutoTokenizer)
        images = self._pretrained.images(self._pretrained.processor(AutoImageProcessor))
        self.preparation, self.prepare = images.preparation, images.prepare
        self._model = self._pretrained.model(Florence2ForConditionalGeneration)
        try:
            self._regions = Regions(self._tokenizer)
        except ValueError as err:
            raise self._pretrained.damaged(brief(err)) from err
        self._prompts = {task: self._encoded(prompt) for task, prompt in PROMPTS.items()}
        self._model.model.language_model.decoder.set_attn_implementation(SHARED)
        self._decoders = self._static_decoders()
        self._static = next(iter(self._decoders.values()), None)  # all are alike

    def _static_decoders(self) -> dict[str, StaticDecoder]:
        """Return a decoder for each of the model's tasks, whose prompts differ in length.

        None: transformers' loop decodes.
        """
        steps, config = Florence2Steps(self._model), self._model.generation_config
        found = {}
        for task in PROMPTS:
            beams = self._defaults.num_beams if task in CAPTION_TASKS.values() else 1
            decoder = generation.static_decoder(
                steps, config, self._defaults, self._pretrained, beams
            )
            if decoder:
                found[task] = decoder
        return found

    @torch.inference_mode()
    def generate(self, images: Sequence[torch.Tensor], instructions: Instructions) -> list[Answer]:
        """Caption each prepared image, or find things in it, as the tasks are."""
        pixels = self._pretrained.batch(list(images))
        seen = self._model.get_image_features(pixels).pooler_output
        answers: list[dict[Any, Any]] = [{} for _ in images]
        if CAPTION in instructions.tasks:
            captions = self._captions(seen, instructions)
            for answer, caption in zip(answers, captions, strict=True):
                answer[CAPTION] = caption
        if LABELS in instructions.tasks:
            for answer, labels in zip(answers, self._labels(seen), strict=True):
                answer[LABELS] = labels
        return list(answers)

    def _captions(self, seen: torch.Tensor, instructions: Instructions) -> list[Caption | None]:
        options = instructions.options
        arguments = generation.arguments(options, self._defaults, self._decode, self._room)
        task = CAPTION_TASKS[caption_length(instructions.prompt, self._defaults.caption)]
        generation.seed(options)
        tokens, _ = self._generate(seen, task, arguments)
        texts = [generation.cut(text.strip(), options) for text in self._decode(tokens)]
        return [caption_or_none(text) for text in texts]

    def _labels(self, seen: torch.Tensor) -> list[tuple[Label, ...]]:
        defaults = self._defaults.model_copy(
            update={"max_new_tokens": self._defaults.max_label_tokens, "num_beams": 1}
        )
        arguments = generation.arguments(Options(), defaults, self._decode, self._room)
        found: list[list[Label]] = [[] for _ in seen]
        for source in self._defaults.labels:
            tokens, rows = self._generate(seen, LABEL_TASKS[source], arguments)
            for labels, row, known in zip(found, tokens.tolist(), rows, strict=True):
                labels.extend(labels_of(self._regions.read(row, known)))
        least = self._defaults.min_confidence
        return [tuple(x for x in labels if x.confidence >= least) for labels in found]

    def _generate(
        self, seen: torch.Tensor, task: str, arguments: Mapping[str, Any]
    ) -> tuple[torch.Tensor, list[list[float]]]:
        """Return the new tokens (images, length), and their probabilities, which beams lack.

        Args:
            seen: states of the images, (images, patches, width).
            task: key of :data:`PROMPTS`.
            arguments: of transformers' ``generate``.
        """
        states = self._encode(seen, task)
        if self._decoders and generation.is_plain(arguments):
            start = [self._model.generation_config.decoder_start_token_id]
            decoder = self._decoders[task]
            new, known = decoder.generate(states, start, arguments["max_new_tokens"])
            rows = [] if known is None else known.tolist()
        else:
            recorded = TokenProbabilities()
            tokens = self._model.generate(
                encoder_outputs=BaseModelOutput(states),
                logits_processor=LogitsProcessorList([recorded]),
                **arguments,
            )
            new = tokens[:, 1:]  # without the token that begins every text
            rows = recorded.rows() if arguments["num_beams"] == 1 else []
        self.steps += new.shape[1]
        return new, rows

    def _encode(self, seen: torch.Tensor, task: str) -> torch.Tensor:
        """Return what the decoder attends to: (images, patches + length of the prompt, width)."""
        language, prompt = self._model.model.language_model, self._prompts[task]
        words = self._model.get_input_embeddings()(prompt).to(seen.dtype)
        both = torch.cat((seen, words.expand(len(seen), -1, -1)), 1)
        states: torch.Tensor = language.encoder(inputs_embeds=both).last_hidden_state
        return states

    def _encoded(self, prompt: str) -> torch.Tensor:
        """Return the tokens of a prompt, (1, length), int64, on the device."""
        begin, end = self._tokenizer.bos_token_id, self._tokenizer.eos_token_id
        words = self._tokenizer(prompt, add_special_tokens=False)["input_ids"]
        return torch.tensor([[begin, *words, end]], device=self._pretrained.device)

    @property
    def _room(self) -> int:
        return generation.positions(self._model) - 1  # one is for the token that begins a text

    def _decode(self, tokens: torch.Tensor) -> list[str]:
        texts: list[str] = self._tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return texts


def caption_length(prompt: str, default: CaptionLength) -> CaptionLength:
    """Return the length that a prompt asks for: by a word of the model, or in plain ones."""
    for length, task in CAPTION_TASKS.items():
        if task in prompt:
            return length
    for length, words in _WORDS.items():
        if words.search(prompt):
            return length
    return default
