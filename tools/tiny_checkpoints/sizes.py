"""Sizes of models."""

from __future__ import annotations

from dataclasses import dataclass, replace

WIDTH = 64
"""Length of a hidden state in the tiny models."""


@dataclass(frozen=True)
class Transformer:
    """Size of a transformer.

    Attributes:
        width: Length of a hidden state; feed-forward layers are four times as wide.
        layers: Number of layers.
        heads: Number of attention heads per layer.

    """

    width: int
    layers: int
    heads: int


@dataclass(frozen=True)
class Size:
    """Size of a model.

    Attributes:
        side: Side of the square picture, in pixels.
        patch: Side of a square patch, in pixels.
        vision: The transformer that reads the picture.
        text: The transformer that generates the text.
        positions: Longest text, in tokens.
        initial: Standard deviation of the initial weights.
        pieces: Size of the vocabulary; 0: as small as the words of `shapes` permit.

    """

    side: int
    patch: int
    vision: Transformer
    text: Transformer
    positions: int
    initial: float = 0.02
    pieces: int = 0


def vision_config(size: Size) -> dict[str, int]:
    """Return what the configurations of most vision towers have in common."""
    return {
        "hidden_size": size.vision.width,
        "intermediate_size": 4 * size.vision.width,
        "num_hidden_layers": size.vision.layers,
        "num_attention_heads": size.vision.heads,
        "image_size": size.side,
        "patch_size": size.patch,
    }


def square(size: Size) -> dict[str, int]:
    """Return the size of pictures, as image processors have it."""
    return {"height": size.side, "width": size.side}


# Larger pictures or smaller patches make shapes hard to learn; smaller weights stall training.
TINY = Size(32, 8, Transformer(WIDTH, 3, 4), Transformer(WIDTH, 2, 4), 64, initial=0.08)
# In Kosmos-2 the picture takes positions of the text. They are sinusoids, so none are stored.
TINY_KOSMOS_2 = replace(TINY, positions=256)
