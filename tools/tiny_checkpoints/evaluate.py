"""Measure a saved checkpoint on held-out pictures.

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
    AutoModelForImageClassification,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
)

from tools.tiny_checkpoints.chat import IMAGE_TOKENS
from tools.tiny_checkpoints.chat_text import conversation, expanded
from tools.tiny_checkpoints.lessons import COLOUR, SHAPE, Lesson, colour
from tools.tiny_checkpoints.shapes import HELD_OUT_SEED, Box, Picture, caption_of, draw

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

PROMPT = "<grounding>An image of"
BATCH = 50


@dataclass(frozen=True)
class Answer:
    """What a model says about a picture.

    Attributes:
        caption: The caption.
        boxes: The boxes of the entities, from a model that grounds its captions.

    """

    caption: str
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True)
class Report:
    """Accuracies on held-out pictures, each a fraction of them.

    Attributes:
        exact: Captions that are right word for word.
        colour: Captions with the right colour.
        shape: Captions with the right shape.
        entities: Answers with exactly one box.
        overlap: Mean intersection over union of the first box and the right one.

    """

    exact: float
    colour: float
    shape: float
    entities: float
    overlap: float


def held_out(count: int) -> list[Picture]:
    """Return pictures that no checkpoint was trained on."""
    return [draw(HELD_OUT_SEED + index) for index in range(count)]


def measure(name: str, folder: Path, count: int = 400) -> Report:
    """Measure a checkpoint.

    Args:
        name: Its name, such as "blip".
        folder: Where its files are.
        count: Number of held-out pictures.

    Returns:
        The accuracies, each between 0 and 1.

    """
    answer = _ANSWERERS[name](str(folder))
    pictures = held_out(count)
    answers = [found for batch in chunks(pictures, BATCH) for found in answer(batch)]
    pairs = list(zip(answers, pictures, strict=True))
    return Report(
        exact=sum(a.caption == p.caption for a, p in pairs) / count,
        colour=sum(p.colour in a.caption.split() for a, p in pairs) / count,
        shape=sum(p.shape in a.caption.split() for a, p in pairs) / count,
        entities=sum(len(a.boxes) == 1 for a, _ in pairs) / count,
        overlap=sum(overlap(a.boxes[0], p.box) for a, p in pairs if a.boxes) / count,
    )


def chunks(pictures: Sequence[Picture], size: int) -> list[Sequence[Picture]]:
    """Return the pictures in chunks of a size; the last one may be smaller."""
    return [pictures[start : start + size] for start in range(0, len(pictures), size)]


def overlap(one: Box, other: Box) -> float:
    """Return the intersection over union of two boxes."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    common = max(width, 0.0) * max(height, 0.0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return common / (sum(areas) - common)


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


_ANSWERERS: dict[str, Callable[[str], Answerer]] = {
    "vit-gpt2": _vit_gpt2,
    "blip": _blip,
    "kosmos-2": _kosmos_2,
    "vit-classifier": _vit_classifier,
    "smolvlm": _smolvlm,
}
