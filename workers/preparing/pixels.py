"""The preparations that most models share: decode an image, resize it, and cut out its middle.

All resizing is Pillow's, with its antialiasing. Two things save time:

- A JPEG, or JPEG 2000, much larger than needed is decoded at a reduced size, of at least
  ``DECODED_PER_NEEDED`` times the sides that it is resized to.
- Of an image that becomes smaller, only those pixels are computed that the crop leaves.

Both are compared with decoding and resizing the whole image in ``test_inputs.py``. The first
changes values of photos by less than 1 of 255 on average, and 999 of 1000 by 8 at most; a quarter
of that is usual. The second changes values of photos by 1 at most. In noise it may be 12, because
Pillow sometimes begins with the other direction, and cuts off what overshoots after each.
"""

import math

from PIL import Image

from shared.images import decode_rgb
from shared.units import MEGA
from workers.preparing.crop import centre_of_strip
from workers.preparing.preparation import Preparation, Prepared

DECODED_PER_NEEDED = 2
"""At a smaller ratio the decoder's simple averaging begins to show; Pillow's ``thumbnail`` has the
same limit (``reducing_gap``)."""
WHOLE_MEGAPIXELS = 4.0
"""Most that a model process gets of an image that its own processor resizes. It sees 0.2 as a rule;
12 MB for each image that waits are enough."""

Size = tuple[int, int]
"""Width and height in pixels."""
Colour = tuple[int, int, int]
"""Red, green and blue, from 0 to 255."""


def squash(size: Size, resample: int) -> Preparation:
    """Resize to a fixed size, whatever the proportions.

    Args:
        size: what the model sees.
        resample: filter, a value of :class:`PIL.Image.Resampling`.
    """
    parameters = {"size": size, "resample": int(resample)}
    return Preparation(target=f"{__name__}:squashed", parameters=parameters)


def centre(shortest: int, size: Size, resample: int, *, truncate: bool = False) -> Preparation:
    """Resize the shorter side, and cut out the middle.

    Args:
        shortest: length of the shorter side after resizing; not less than both sides of ``size``.
        size: what the model sees.
        resample: filter, a value of :class:`PIL.Image.Resampling`.
        truncate: round the longer side down, as transformers does, not to the nearest.
    """
    parameters = {
        "shortest": shortest, "size": size, "resample": int(resample), "truncate": truncate
    }  # fmt: skip
    return Preparation(target=f"{__name__}:centred", parameters=parameters)


def fit(size: Size, resample: int, fill: Colour | None = None) -> Preparation:
    """Resize to the largest size that fits, in the image's proportions.

    Args:
        size: what the image fits into.
        resample: filter, a value of :class:`PIL.Image.Resampling`.
        fill: colour of the rest of ``size`` around the image ("letterbox"); ``None``: there is no
            rest, so what the model sees is not of the same size for all images.
    """
    parameters = {"size": size, "resample": int(resample), "fill": fill}
    return Preparation(target=f"{__name__}:fitted", parameters=parameters)


def whole(megapixels: float = WHOLE_MEGAPIXELS) -> Preparation:
    """Only decode: for models whose own processor must see the image.

    Args:
        megapixels: most that the model process gets.
    """
    return Preparation(target=f"{__name__}:decoded", parameters={"most": megapixels})


def squashed(data: bytes, max_megapixels: float, size: Size, resample: int) -> Prepared:
    """Prepare as :func:`squash` says.

    Raises:
        VisionError: the image cannot be used.
    """
    width, height = size
    image = decode_rgb(data, max_megapixels, lambda _: _scaled((width, height), DECODED_PER_NEEDED))
    return packed(image.resize((width, height), resample))


def centred(
    data: bytes, max_megapixels: float, shortest: int, size: Size, resample: int, *, truncate: bool
) -> Prepared:
    """Prepare as :func:`centre` says.

    Raises:
        VisionError: the image cannot be used.
    """
    image = decode_rgb(
        data,
        max_megapixels,
        lambda whole_size: _scaled(whole_size, DECODED_PER_NEEDED * shortest / min(whole_size)),
    )
    return packed(_centre(image, shortest, (size[0], size[1]), resample, truncate=truncate))


def _centre(
    image: Image.Image, shortest: int, size: Size, resample: int, *, truncate: bool
) -> Image.Image:
    middle, short = centre_of_strip(image), min(image.size)
    resized, starts, ends = [], [], []
    for whole_side, part, cut in zip(image.size, middle.size, size, strict=True):
        exact = whole_side * shortest / short
        side = int(exact) if truncate else round(exact)
        first, cut_off = (side - cut) // 2, (whole_side - part) // 2
        resized.append(side)
        starts.append(first * whole_side / side - cut_off)
        ends.append((first + cut) * whole_side / side - cut_off)
    if short < shortest and middle is image:
        left, top = ((side - cut) // 2 for side, cut in zip(resized, size, strict=True))
        enlarged = image.resize((resized[0], resized[1]), resample)
        return enlarged.crop((left, top, left + size[0], top + size[1]))
    # Of the strip, because Pillow's box is in 32-bit floats, which are too coarse for long ones.
    return middle.resize(size, resample, (starts[0], starts[1], ends[0], ends[1]))


def fitted(
    data: bytes, max_megapixels: float, size: Size, resample: int, fill: Colour | None
) -> Prepared:
    """Prepare as :func:`fit` says.

    Raises:
        VisionError: the image cannot be used.
    """
    image = decode_rgb(
        data, max_megapixels, lambda whole: _scaled(whole, DECODED_PER_NEEDED * _fit(whole, size))
    )
    factor = _fit(image.size, size)
    width, height = (max(1, round(side * factor)) for side in image.size)
    resized = image.resize((width, height), resample)
    if fill is None:
        return packed(resized)
    box = Image.new("RGB", (size[0], size[1]), (fill[0], fill[1], fill[2]))
    box.paste(resized, ((size[0] - width) // 2, (size[1] - height) // 2))
    return packed(box)


def _fit(whole: Size, size: Size) -> float:
    """Return by what to multiply the sides of an image to have it fit into a size."""
    return min(size[0] / whole[0], size[1] / whole[1])


def decoded(data: bytes, max_megapixels: float, most: float) -> Prepared:
    """Prepare as :func:`whole` says: the middle of a strip, and ``most`` megapixels at most.

    Raises:
        VisionError: the image cannot be used.
    """
    image = decode_rgb(data, max_megapixels, lambda size: _scaled(size, _to_limit(size, most)))
    image = centre_of_strip(image)
    factor = _to_limit(image.size, most)
    if factor < 1:
        image = image.resize(
            _scaled(image.size, factor), Image.Resampling.BICUBIC, reducing_gap=DECODED_PER_NEEDED
        )
    return packed(image)


def packed(image: Image.Image) -> Prepared:
    """Return the pixels of an RGB image."""
    return Prepared(image.tobytes(), *image.size)


def unpacked(prepared: Prepared) -> Image.Image:
    """Return pixels as an RGB image."""
    return Image.frombytes("RGB", (prepared.width, prepared.height), prepared.content)


def _scaled(size: Size, factor: float) -> Size:
    return max(1, math.ceil(size[0] * factor)), max(1, math.ceil(size[1] * factor))


def _to_limit(size: Size, megapixels: float) -> float:
    """Return by what to multiply the sides of an image to have it within the limit."""
    return min(1.0, math.sqrt(megapixels * MEGA / (size[0] * size[1])))
