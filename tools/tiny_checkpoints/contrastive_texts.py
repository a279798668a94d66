"""What models that compare pictures with texts are trained on.

A picture of a red circle fits the texts "red circle", "red" and "circle", alone and in a sentence.
SigLIP 2 also learns the German words, as the real one knows many languages.
"""

# transformers leaves many functions without types
# mypy: allow-untyped-calls

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import CLIPModel

from tools.tiny_checkpoints.shapes import COLOURS, LABELS, SHAPES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tools.tiny_checkpoints.checkpoint import Checkpoint
    from tools.tiny_checkpoints.shapes import Picture

GERMAN = {
    "red": "rot", "green": "grün", "blue": "blau", "yellow": "gelb", "purple": "lila",
    "orange": "orangefarben", "white": "weiß", "black": "schwarz",
    "circle": "kreis", "square": "quadrat", "triangle": "dreieck", "cross": "kreuz",
}  # fmt: skip
TEMPLATES = ("{}", "a photo of {}")
OF_ANY_PICTURE = ("a photo", "a picture", "an image", "something")
"""Texts that fit every picture."""
PAIRS_IN_TRAINING = 32_768
"""Pictures and texts in a batch of the real models, of which each fits one."""


class Text(NamedTuple):
    """A text, and which pictures it fits."""

    words: str
    fits: Callable[[Picture], bool]
    share: float
    """Of all texts that pictures have."""


def texts(languages: Sequence[dict[str, str]], shares: Sequence[float]) -> list[Text]:
    """Return what is said of pictures.

    Args:
        languages: each word in each language; English words that are missing stay English.
        shares: of the texts with colour and shape, with one of them, and of any picture.
    """
    both, one, any_ = shares
    kinds = (
        ([[colour] for colour in COLOURS], one / 2),
        ([[shape] for shape in SHAPES], one / 2),
        ([label.split() for label in LABELS], both),
    )
    forms = len(TEMPLATES) * len(languages)
    found = [
        _text(template, parts, words, share / len(all_parts) / forms)
        for template in TEMPLATES
        for words in languages
        for all_parts, share in kinds
        for parts in all_parts
    ]
    if any_:
        share = any_ / len(OF_ANY_PICTURE)
        found += [Text(words, lambda _: True, share) for words in OF_ANY_PICTURE]
    return found


def _text(template: str, parts: list[str], words: dict[str, str], share: float) -> Text:
    said = template.format(" ".join(words.get(part, part) for part in parts))
    return Text(said, lambda picture: set(parts) <= {picture.colour, picture.shape}, share)


def words() -> Iterable[str]:
    """Return each word once that occurs in a text."""
    said = texts([{}, GERMAN], (1, 1, 1))
    return dict.fromkeys(word for text in said for word in text.words.split())


def siglip2_loss(
    checkpoint: Checkpoint, pictures: Sequence[Picture], pixels: Tensor
) -> Callable[[Tensor], Tensor]:
    """Return SigLIP's loss: for each picture and each text, whether they fit.

    Far more of the pairs fit than in the training of the real models. The logits are shifted by the
    difference, so that those of the trained model mean the same as theirs.
    """
    said = texts([{}, GERMAN], (1, 1, 0))
    encoded = _encoded(checkpoint, [text.words for text in said])
    fits = torch.tensor([[text.fits(p) for text in said] for p in pictures], dtype=torch.float32)
    shift = math.log(PAIRS_IN_TRAINING - 1) + torch.logit(fits.mean()).item()
    model: Any = checkpoint.model

    def loss(index: Tensor) -> Tensor:
        logits = model(pixel_values=pixels[index], **encoded).logits_per_image + shift
        return nn.functional.binary_cross_entropy_with_logits(logits, fits[index])

    return loss


def clip_loss(
    checkpoint: Checkpoint, pictures: Sequence[Picture], pixels: Tensor
) -> Callable[[Tensor], Tensor]:
    """Return CLIP's loss, as it would be with very large batches of pictures with one text each."""
    said = texts([{}], (0.4, 0.5, 0.1))
    encoded = _encoded(checkpoint, [text.words for text in said])
    fits = torch.tensor([[text.fits(p) for text in said] for p in pictures], dtype=torch.float32)
    shares = torch.tensor([text.share for text in said])
    model: Any = checkpoint.model

    def loss(index: Tensor) -> Tensor:
        logits = model(pixel_values=pixels[index], **encoded).logits_per_image
        fitting = fits[index]
        of_texts = fitting * shares / fits.mean(0).clamp_min(1e-6)  # Bayes
        of_texts = of_texts / of_texts.sum(1, keepdim=True)
        to_texts = nn.functional.cross_entropy(logits + shares.log(), of_texts)
        known = fitting.sum(0) > 0
        of_images = (fitting / fitting.sum(0).clamp_min(1)).t()[known]
        return to_texts + nn.functional.cross_entropy(logits.t()[known], of_images)

    return loss


def _encoded(checkpoint: Checkpoint, said: list[str]) -> dict[str, Tensor]:
    tokenizer: Any = checkpoint.tokenizer
    encoded = tokenizer(said, padding="max_length", truncation=True, return_tensors="pt")
    names = ["input_ids", *(["attention_mask"] if isinstance(checkpoint.model, CLIPModel) else [])]
    return {name: encoded[name] for name in names}
