"""Generated pictures of one coloured shape each, with the right caption, label and box.

A picture is a function of its seed, so training set and held-out set are two ranges of seeds.
`tests/checkpoints` was trained on seeds below `HELD_OUT_SEED`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (220, 30, 30),
    "green": (30, 170, 50),
    "blue": (30, 60, 220),
    "yellow": (240, 220, 40),
    "purple": (140, 40, 170),
    "orange": (245, 140, 20),
    "white": (250, 250, 250),
    "black": (10, 10, 10),
}
SHAPES: tuple[str, ...] = ("circle", "square", "triangle", "cross")
LABELS: tuple[str, ...] = tuple(f"{colour} {shape}" for colour in COLOURS for shape in SHAPES)
HELD_OUT_SEED = 1_000_000
"""The first seed of pictures that no checkpoint was trained on."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, as fractions of the picture's side."""

# In radii of the shape:
_SQUARE = 0.88  # half the side of a square
_BASE = 0.8  # from the centre of a triangle down to its base
_BAR = 0.33  # half the width of the bars of a cross


@dataclass(frozen=True)
class Picture:
    """A picture of one shape.

    Attributes:
        image: The RGB picture.
        colour: One of `COLOURS`.
        shape: One of `SHAPES`.
        box: Where the shape is.

    """

    image: Image.Image
    colour: str
    shape: str
    box: Box

    @property
    def label(self) -> str:
        """The class label, such as "red circle"."""
        return f"{self.colour} {self.shape}"

    @property
    def class_id(self) -> int:
        """The index of the label in `LABELS`."""
        return LABELS.index(self.label)

    @property
    def caption(self) -> str:
        """The right caption, such as "a red circle" or "an orange cross"."""
        return caption_of(self.label)


def caption_of(label: str) -> str:
    """Return the caption of a label: the label with its article."""
    return f"{'an' if label[0] in 'aeiou' else 'a'} {label}"


def draw(
    seed: int | np.random.Generator,
    *,
    colour: str | None = None,
    shape: str | None = None,
    size: int = 128,
) -> Picture:
    """Draw one shape on a noisy grey gradient.

    Args:
        seed: The seed of the picture, or a generator to draw from.
        colour: The shape's colour; any of `COLOURS` when not given.
        shape: The shape; any of `SHAPES` when not given.
        size: The side of the square picture, in pixels.

    Returns:
        The picture. The same arguments always give the same picture.

    """
    rng = np.random.default_rng(seed)
    # Chosen in any case, so that position and size do not depend on the arguments.
    any_colour, any_shape = str(rng.choice(list(COLOURS))), str(rng.choice(SHAPES))
    colour, shape = colour or any_colour, shape or any_shape
    image = Image.fromarray(_background(rng, size))
    radius = rng.uniform(0.30, 0.42) * size
    x, y = rng.uniform(radius, size - radius, 2)
    jitter = rng.integers(-12, 13, 3)
    red, green, blue = (int(v) for v in np.clip(np.add(COLOURS[colour], jitter), 0, 255))
    box = _paint(ImageDraw.Draw(image), shape, (x, y, radius), (red, green, blue))
    noisy = np.asarray(image, np.float32) + rng.normal(0, 6, (size, size, 3))
    image = Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
    left, top, right, bottom = (float(v / size) for v in box)
    return Picture(image, colour, shape, (left, top, right, bottom))


def _background(
    rng: np.random.Generator, size: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return a grey picture that gets lighter in some direction."""
    ramp = np.linspace(-20, 20, size, dtype=np.float32)
    across, down = rng.uniform(-1, 1, 2)
    grey = rng.integers(90, 166) + across * ramp[None, :] + down * ramp[:, None]
    return np.repeat(grey[:, :, None], 3, axis=2).astype(np.uint8)


def _paint(
    pen: ImageDraw.ImageDraw,
    shape: str,
    place: tuple[float, float, float],
    fill: tuple[int, int, int],
) -> Box:
    """Paint the shape at a place (x, y, radius); return its box in pixels."""
    x, y, r = place
    if shape == "circle":
        box = (x - r, y - r, x + r, y + r)
        pen.ellipse(box, fill=fill)
    elif shape == "square":
        half = r * _SQUARE
        box = (x - half, y - half, x + half, y + half)
        pen.rectangle(box, fill=fill)
    elif shape == "triangle":
        box = (x - r, y - r, x + r, y + r * _BASE)
        pen.polygon([(x, y - r), (box[0], box[3]), (box[2], box[3])], fill=fill)
    elif shape == "cross":
        bar = r * _BAR
        box = (x - r, y - r, x + r, y + r)
        pen.rectangle((x - bar, y - r, x + bar, y + r), fill=fill)
        pen.rectangle((x - r, y - bar, x + r, y + bar), fill=fill)
    else:
        msg = f"unknown shape {shape!r}"
        raise ValueError(msg)
    return box
