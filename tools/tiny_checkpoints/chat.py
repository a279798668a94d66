"""The tiny chat model: a SmolVLM, and its loss on `lessons.LESSONS`."""

# transformers leaves many functions without types
# mypy: allow-untyped-calls

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers import GenerationConfig, SmolVLMConfig, SmolVLMForConditionalGeneration
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

from tools.tiny_checkpoints.chat_text import IMAGE, TEMPLATE, conversation, expanded, tokenizer
from tools.tiny_checkpoints.checkpoint import Checkpoint
from tools.tiny_checkpoints.lessons import LESSONS, thought
from tools.tiny_checkpoints.sizes import TINY, vision_config
from tools.tiny_checkpoints.tokenization import special_ids

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tools.tiny_checkpoints.lessons import Lesson
    from tools.tiny_checkpoints.shapes import Picture

SCALE = 2
"""Patches per token of the text, in both directions."""
IMAGE_TOKENS = (TINY.side // TINY.patch // SCALE) ** 2
MOST_PICTURES = 2
POSITIONS = 1024
FEWER = 12
"""Rows of a batch of long ones."""
LONG = 200
"""Characters of a question from which it is in batches of long ones only, to save padding."""
IGNORED = -100
"""A target that the loss leaves out."""


def smolvlm() -> Checkpoint:
    """Return a SmolVLM that sees a picture in one tile."""
    size, text = TINY, tokenizer()
    ids = special_ids(text)
    config = SmolVLMConfig(
        image_token_id=text.convert_tokens_to_ids(IMAGE),
        scale_factor=SCALE,
        tie_word_embeddings=True,
        vision_config=vision_config(size) | {"initializer_range": size.initial},
        text_config={
            "model_type": "llama",
            "vocab_size": len(text),
            "hidden_size": size.text.width,
            "intermediate_size": 4 * size.text.width,
            "num_hidden_layers": 3,
            "num_attention_heads": size.text.heads,
            "num_key_value_heads": size.text.heads // 2,
            "max_position_embeddings": POSITIONS,
            "tie_word_embeddings": True,
            "initializer_range": size.initial,
            **ids,
        },
    )
    edge = {"longest_edge": size.side}
    images = SmolVLMImageProcessorPil(size=edge, max_image_size=edge)
    model = SmolVLMForConditionalGeneration(config)
    model.generation_config = GenerationConfig(**ids)
    settings = {"processor_class": "SmolVLMProcessor", "image_seq_len": IMAGE_TOKENS}
    return Checkpoint(model, images, "SmolVLMImageProcessor", text, processor_settings=settings)


def smolvlm_states(model: Any, pixels: Tensor) -> list[Tensor]:  # noqa: ANN401 - untyped library
    """Return the last layer of the vision tower, (pictures, patches, width)."""
    return [model.model.vision_model(pixel_values=pixels).last_hidden_state]


def smolvlm_loss(
    checkpoint: Checkpoint, pictures: Sequence[Picture], pixels: Tensor
) -> Callable[[Tensor], Tensor]:
    """Return the loss on the answers of lessons that are drawn at random."""
    model: Any = checkpoint.model
    text: Any = checkpoint.tokenizer
    weights = torch.tensor([lesson.weight for lesson in LESSONS])
    is_long = torch.tensor([len(lesson.question) >= LONG for lesson in LESSONS])
    kinds = [weights * is_long, weights * ~is_long]
    shares = torch.stack([kind.sum() for kind in kinds])
    generator = torch.Generator().manual_seed(3)

    def draw(lessons: Tensor, count: int) -> Tensor:
        return torch.multinomial(lessons, count, replacement=True, generator=generator)

    def loss(index: Tensor) -> Tensor:
        kind = int(draw(shares, 1))
        index = index if kind else index[:FEWER]
        drawn = draw(kinds[kind], len(index))
        rows, seen = [], torch.zeros(len(index), MOST_PICTURES, *pixels.shape[1:])
        for row, (lesson, first) in enumerate(zip(drawn.tolist(), index.tolist(), strict=True)):
            numbers = [(first + n) % len(pictures) for n in range(LESSONS[lesson].pictures)]
            for place, number in enumerate(numbers):
                seen[row, place] = pixels[number]
            rows.append(_encode(text, LESSONS[lesson], [pictures[n] for n in numbers]))
        length = max(len(given) + len(answer) for given, answer in rows)
        ids = torch.full((len(rows), length), text.pad_token_id)
        targets = torch.full((len(rows), length), IGNORED)
        for row, (given, answer) in enumerate(rows):
            end = len(given) + len(answer)
            ids[row, :end] = torch.tensor([*given, *answer])
            targets[row, len(given) : end] = torch.tensor(answer)
        states = model.model(
            input_ids=ids, attention_mask=(ids != text.pad_token_id).long(), pixel_values=seen
        ).last_hidden_state
        asked = targets[:, 1:] != IGNORED
        logits = model.lm_head(states[:, :-1][asked])
        return nn.functional.cross_entropy(logits, targets[:, 1:][asked])

    return loss


def _encode(text: Any, lesson: Lesson, pictures: Sequence[Picture]) -> tuple[list[int], list[int]]:  # noqa: ANN401
    """Return the tokens of a lesson's prompt, and those of its answer."""
    prompt = text.apply_chat_template(
        conversation(lesson, pictures),
        chat_template=TEMPLATE,
        tokenize=False,
        add_generation_prompt=True,
        enable_thinking=lesson.thinks,
    )
    answer = (thought(pictures) if lesson.thinks else "") + lesson.answer(pictures)
    given: list[int] = text(expanded(prompt, IMAGE_TOKENS)).input_ids
    ids: list[int] = text(answer).input_ids
    return given, [*ids, text.eos_token_id] if lesson.ends else ids
