"""The preparation of models that chat: all that they see of an image, resized, on one sheet."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from PIL import Image

from shared.images import decode_rgb
from workers.preparing.crop import centre_of_strip, size_of_centre
from workers.preparing.layouts import LAYOUTS, Layout, Size
from workers.preparing.pixels import DECODED_PER_NEEDED, packed
from workers.preparing.preparation import Preparation, Prepared


def sheet(layout: str, arguments: Mapping[str, Any], resample: int) -> Preparation:
    """Have the frames of an image below each other: see :class:`~workers.preparing.layouts.Layout`.

    Of very long images these are the frames of the middle.

    Args:
        layout: name of one of ``LAYOUTS``.
        arguments: of its function, beside the image's size.
        resample: filter, a value of :class:`PIL.Image.Resampling`.
    """
    parameters = {"layout": layout, "arguments": dict(arguments), "resample": int(resample)}
    return Preparation(target=f"{__name__}:framed", parameters=parameters)


def framed(
    data: bytes, max_megapixels: float, layout: str, arguments: Mapping[str, Any], resample: int
) -> Prepared:
    """Prepare as :func:`sheet` says.

    Raises:
        VisionError: the image cannot be used.
    """
    whole: list[Size] = []

    def needed(size: Size) -> Size:
        whole.append(size)
        seen = size_of_centre(size)
        largest = LAYOUTS[layout](seen, **arguments).largest
        scale = DECODED_PER_NEEDED * max(x / y for x, y in zip(largest, seen, strict=True))
        return math.ceil(size[0] * scale), math.ceil(size[1] * scale)

    image = decode_rgb(data, max_megapixels, needed)
    full = whole[-1] if whole else image.size
    size = size_of_centre(full)
    part = Part(centre_of_strip(image))
    if full != image.size:
        # The decoder rounds up, so that its last column may be less than one.
        scale = round(max(full) / max(image.size))
        left, top = ((side - seen) / 2 / scale for side, seen in zip(full, size, strict=True))
        part = Part(image, (left, top, left + size[0] / scale, top + size[1] / scale))
    frames = _frames(part, LAYOUTS[layout](size, **arguments), resample)
    return packed(_below_each_other(frames))._replace(whole=size)


class Part(NamedTuple):
    """What a model sees of an image."""

    image: Image.Image
    box: tuple[float, float, float, float] | None = None
    """Left, top, right, bottom; ``None``: all of it."""

    def resized(self, size: Size, resample: int) -> Image.Image:
        """Return it in another size."""
        return self.image.resize(size, resample, self.box)


def _frames(part: Part, layout: Layout, resample: int) -> list[Image.Image]:
    resized = part.resized(layout.resized[0], resample)
    for size in layout.resized[1:]:
        resized = resized.resize(size, resample)
    source = Part(resized) if layout.overview_of_resized else part
    overview = [source.resized(layout.overview, resample)] if layout.overview else []
    left, top = (
        (side - cut) // 2 if side > cut else -((cut - side) // 2)
        for side, cut in zip(resized.size, layout.window, strict=True)
    )
    width, height = layout.tile
    boxes = (
        (left + column * width, top + row * height)
        for row in range(layout.rows)
        for column in range(layout.columns)
    )
    tiles = [resized.crop((x, y, x + width, y + height)) for x, y in boxes]
    return [*overview, *tiles]


def _below_each_other(frames: Sequence[Image.Image]) -> Image.Image:
    if len(frames) == 1:
        return frames[0]
    size = max(frame.width for frame in frames), sum(frame.height for frame in frames)
    whole, top = Image.new("RGB", size), 0
    for frame in frames:
        whole.paste(frame, (0, top))
        top += frame.height
    return whole
