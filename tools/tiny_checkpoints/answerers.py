"""What saved checkpoints say of pictures.

Models, processors and tokenizers are loaded from the files with transformers' Auto classes, as
users of a checkpoint do.
"""

# transformers leaves many functions without types
# mypy: allow-untyped-calls

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from transformers import (
    AutoImageProcessor,
    AutoModel,
    AutoModelForImageClassification,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
)

from tools.tiny_checkpoints.chat import IMAGE_TOKENS
from tools.tiny_checkpoints.chat_text import conversation, expanded
from tools.tiny_checkpoints.florence2 import BINS, POST_PROCESSING
from tools.tiny_checkpoints.lessons import COLOUR, SHAPE, Lesson, colour
from tools.tiny_checkpoints.shapes import LABELS, Box, Picture, caption_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PROMPT = "<grounding>An image of"


@dataclass(frozen=True)
class Answer:
    """What a model says about a picture.

    Attributes:
        caption: The caption.
        boxes: The boxes of the entities, from a model that grounds its captions.

    """

    caption: str
    boxes: tuple[Box, ...] = ()


if TYPE_CHECKING:
    Answerer = Callable[[Sequence[Picture]], list[Answer]]


def _vit_gpt2(folder: str) -> Answerer:
    model: Any = AutoModelForImageTextToText.from_pretrained(folder).eval()
    images = AutoImageProcessor.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def answer(pictures: Sequence[Picture]) -> list[Answer]:
        pixels = images(images=[p.image for p in pictures], return_tensors="pt").pixel_values
        output = model.generate(pixels, max_length=16, num_beams=4)
        texts = tokenizer.batch_decode(output, skip_special_tokens=True)
        return [Answer(text.strip()) for text in texts]

    return answer


def _blip(folder: str) -> Answerer:
    model: Any = AutoModelForImageTextToText.from_pretrained(folder).eval()
    processor = AutoProcessor.from_pretrained(folder)

    def answer(pictures: Sequence[Picture]) -> list[Answer]:
        inputs = processor(images=[p.image for p in pictures], return_tensors="pt")
        output = model.generate(**inputs, max_new_tokens=16)
        texts = processor.batch_decode(output, skip_special_tokens=True)
        return [Answer(text.strip()) for text in texts]

    return answer


def _kosmos_2(folder: str) -> Answerer:
    model: Any = AutoModelForImageTextToText.from_pretrained(folder).eval()
    processor = AutoProcessor.from_pretrained(folder)

    def answer(pictures: Sequence[Picture]) -> list[Answer]:
        inputs = processor(
            text=[PROMPT] * len(pictures),
            images=[p.image for p in pictures],
            return_tensors="pt",
        )
        output = model.generate(**inputs, max_new_tokens=32)
        answers = []
        for text in processor.batch_decode(output, skip_special_tokens=True):
            caption, entities = processor.post_process_generation(text)
            boxes = tuple(box for _, _, found in entities for box in found)
            answers.append(Answer(caption.removeprefix("An image of").strip(), boxes))
        return answers

    return answer


def _smolvlm(folder: str) -> Answerer:
    model: Any = AutoModelForImageTextToText.from_pretrained(folder).eval()
    images = AutoImageProcessor.from_pretrained(folder)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)

    def ask(pictures: Sequence[Picture], lesson: Lesson) -> list[str]:
        prompt = tokenizer.apply_chat_template(
            conversation(lesson, pictures[:1]), tokenize=False, add_generation_prompt=True
        )
        ids = tokenizer(expanded(prompt, IMAGE_TOKENS), return_tensors="pt").input_ids
        seen = images(images=[[p.image] for p in pictures], return_tensors="pt")
        output = model.generate(
            input_ids=ids.expand(len(pictures), -1),
            pixel_values=seen.pixel_values,
            max_new_tokens=4,
        )
        new = output[:, ids.shape[1] :]
        texts: list[str] = tokenizer.batch_decode(new, skip_special_tokens=True)
        return texts

    def answer(pictures: Sequence[Picture]) -> list[Answer]:
        colours, shapes = (ask(pictures, Lesson(prompt, colour)) for prompt in (COLOUR, SHAPE))
        return [Answer(caption_of(f"{c} {s}")) for c, s in zip(colours, shapes, strict=True)]

    return answer


def _vit_classifier(folder: str) -> Answerer:
    model: Any = AutoModelForImageClassification.from_pretrained(folder).eval()
    images = AutoImageProcessor.from_pretrained(folder)

    @torch.no_grad()
    def answer(pictures: Sequence[Picture]) -> list[Answer]:
        logits = model(**images(images=[p.image for p in pictures], return_tensors="pt")).logits
        labels = [model.config.id2label[index] for index in logits.argmax(-1).tolist()]
        return [Answer(caption_of(label)) for label in labels]

    return answer


def _contrastive(folder: str) -> Answerer:
    model: Any = AutoModel.from_pretrained(folder).eval()
    processor = AutoProcessor.from_pretrained(folder)
    said = [f"a photo of {label}" for label in LABELS]

    @torch.no_grad()
    def answer(pictures: Sequence[Picture]) -> list[Answer]:
        images = [p.image for p in pictures]
        inputs = processor(text=said, images=images, padding="max_length", return_tensors="pt")
        inputs = {name: inputs[name] for name in ("input_ids", "pixel_values")}
        best = model(**inputs).logits_per_image.argmax(-1).tolist()
        return [Answer(caption_of(LABELS[index])) for index in best]

    return answer


def _florence2(folder: str) -> Answerer:
    model: Any = AutoModelForImageTextToText.from_pretrained(folder).eval()
    processor = AutoProcessor.from_pretrained(folder)
    processor.post_processor.parse_task_config = POST_PROCESSING

    def generated(task: str, pictures: Sequence[Picture]) -> list[str]:
        images = [p.image for p in pictures]
        inputs = processor(text=[task] * len(images), images=images, return_tensors="pt")
        output = model.generate(**inputs, max_new_tokens=24, num_beams=1)
        texts: list[str] = processor.batch_decode(output, skip_special_tokens=False)
        return texts

    def answer(pictures: Sequence[Picture]) -> list[Answer]:
        answers = []
        for caption, found in zip(
            generated("<CAPTION>", pictures), generated("<OD>", pictures), strict=True
        ):
            told = {
                task: processor.post_process_generation(text, task=task, image_size=(BINS, BINS))
                for task, text in (("<CAPTION>", caption), ("<OD>", found))
            }
            boxes = [tuple(side / BINS for side in box) for box in told["<OD>"]["<OD>"]["bboxes"]]
            text = told["<CAPTION>"]["<CAPTION>"].replace("<pad>", "").strip()
            answers.append(Answer(text, tuple(boxes)))
        return answers

    return answer


ANSWERERS: dict[str, Callable[[str], Answerer]] = {
    "vit-gpt2": _vit_gpt2,
    "blip": _blip,
    "kosmos-2": _kosmos_2,
    "vit-classifier": _vit_classifier,
    "smolvlm": _smolvlm,
    "siglip2": _contrastive,
    "clip": _contrastive,
    "florence2": _florence2,
}
