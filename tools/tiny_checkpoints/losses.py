"""Losses of the captioning models and of the classifier."""

# transformers leaves many functions without types
# mypy: allow-untyped-calls

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers.models.kosmos2.processing_kosmos2 import coordinate_to_patch_index

from tools.tiny_checkpoints.answerers import PROMPT
from tools.tiny_checkpoints.chat import smolvlm_loss
from tools.tiny_checkpoints.contrastive_texts import clip_loss, siglip2_loss
from tools.tiny_checkpoints.florence2 import florence2_loss

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tools.tiny_checkpoints.checkpoint import Checkpoint
    from tools.tiny_checkpoints.shapes import Picture

    Loss = Callable[[Tensor], Tensor]
    """The loss on the pictures with the given indices."""

IGNORED = -100
"""A target that the loss leaves out."""
GRID = 32
"""Kosmos-2 has a token for each of 32 x 32 places."""
COARSE = 2
"""Boxes are rounded to every second place in both directions."""


def padded(rows: Sequence[Sequence[int]], value: int) -> Tensor:
    """Return rows of ids as one tensor (rows, longest), short ones padded with a value."""
    length = max(len(row) for row in rows)
    return torch.tensor([[*row, *[value] * (length - len(row))] for row in rows])


def vit_gpt2_loss(checkpoint: Checkpoint, pictures: Sequence[Picture], pixels: Tensor) -> Loss:
    """Return the caption loss of vit-gpt2."""
    model: Any = checkpoint.model
    tokenizer: Any = checkpoint.tokenizer
    rows = [[*tokenizer(p.caption).input_ids, tokenizer.eos_token_id] for p in pictures]
    labels = padded(rows, IGNORED)

    def loss(index: Tensor) -> Tensor:
        value: Tensor = model(pixel_values=pixels[index], labels=labels[index]).loss
        return value

    return loss


def blip_loss(checkpoint: Checkpoint, pictures: Sequence[Picture], pixels: Tensor) -> Loss:
    """Return the caption loss of BLIP."""
    model: Any = checkpoint.model
    tokenizer: Any = checkpoint.tokenizer
    start, end, pad = tokenizer.bos_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id
    rows = [
        [start, *tokenizer(p.caption, add_special_tokens=False).input_ids, end] for p in pictures
    ]
    ids = padded(rows, pad)
    mask = (ids != pad).long()
    labels = ids.masked_fill(ids == pad, IGNORED)

    def loss(index: Tensor) -> Tensor:
        value: Tensor = model(
            pixel_values=pixels[index],
            input_ids=ids[index],
            attention_mask=mask[index],
            labels=labels[index],
        ).loss
        return value

    return loss


def grounded(picture: Picture) -> str:
    """Return the caption in the grounded form of Kosmos-2, with its box on a coarse grid."""
    left, top, right, bottom = (min(max(side, 0.0), 1.0) for side in picture.box)
    first, last = coordinate_to_patch_index((left, top, right, bottom), GRID)
    first, last = (
        place // GRID // COARSE * COARSE * GRID + place % GRID // COARSE * COARSE
        for place in (first, last)
    )
    places = f"<patch_index_{first:04d}><patch_index_{last:04d}>"
    return f"<phrase> {picture.caption}</phrase><object>{places}</object>"


def kosmos_2_loss(checkpoint: Checkpoint, pictures: Sequence[Picture], pixels: Tensor) -> Loss:
    """Return the loss of Kosmos-2 on the text after the prompt."""
    model: Any = checkpoint.model
    tokenizer: Any = checkpoint.tokenizer
    processor: Any = checkpoint.processor
    prompt = processor(text=PROMPT, images=pictures[0].image, return_tensors="pt")
    before: list[int] = prompt.input_ids[0].tolist()
    rows = [
        [
            *before,
            *tokenizer(grounded(p), add_special_tokens=False).input_ids,
            tokenizer.eos_token_id,
        ]
        for p in pictures
    ]
    ids = padded(rows, tokenizer.pad_token_id)
    mask = (ids != tokenizer.pad_token_id).long()
    places = torch.zeros_like(ids[:1])
    places[:, : len(before)] = prompt.image_embeds_position_mask
    targets = ids[:, len(before) :].masked_fill(mask[:, len(before) :] == 0, IGNORED)

    def loss(index: Tensor) -> Tensor:
        # Not with `labels`, which would compute logits at the picture's 64 positions as well.
        logits = model(
            pixel_values=pixels[index],
            input_ids=ids[index],
            attention_mask=mask[index],
            image_embeds_position_mask=places.expand(len(index), -1),
            logits_to_keep=targets.shape[1] + 1,
        ).logits[:, :-1]
        return nn.functional.cross_entropy(logits.flatten(0, 1), targets[index].flatten())

    return loss


def vit_classifier_loss(
    checkpoint: Checkpoint, pictures: Sequence[Picture], pixels: Tensor
) -> Loss:
    """Return the class loss of the classifier."""
    model: Any = checkpoint.model
    labels = torch.tensor([p.class_id for p in pictures])

    def loss(index: Tensor) -> Tensor:
        value: Tensor = model(pixel_values=pixels[index], labels=labels[index]).loss
        return value

    return loss


LOSSES: dict[str, Callable[[Checkpoint, Sequence[Picture], Tensor], Loss]] = {
    "vit-gpt2": vit_gpt2_loss,
    "blip": blip_loss,
    "kosmos-2": kosmos_2_loss,
    "smolvlm": smolvlm_loss,
    "vit-classifier": vit_classifier_loss,
    "siglip2": siglip2_loss,
    "clip": clip_loss,
    "florence2": florence2_loss,
}
