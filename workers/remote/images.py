"""Images as the models of Ollama's servers can read them."""

import io
import math

from PIL import Image

from shared.images import for_ollama
from workers.preparing.preparation import Preparation, Prepared

MIN_SIDE_PX = 32
"""Qwen2.5-VL fails on sides under 28 px, and Qwen3-VL on sides under 32 px: see
https://github.com/ollama/ollama/issues/11297 and https://github.com/ollama/ollama/issues/13113."""
MAX_RATIO = 200
"""Qwen's models fail on an image that is longer than so many times its width."""
MAX_SIDE_PX = 4096
"""How far a small image is enlarged at most; a strip is then framed instead."""


def for_servers(data: bytes, max_megapixels: float) -> Prepared:
    """Prepare an image file as :data:`PREPARATION`: see :func:`prepare_image`.

    Raises:
        VisionError: the image cannot be used.
    """
    return Prepared(prepare_image(data, max_megapixels))


PREPARATION = Preparation(target=f"{__name__}:{for_servers.__name__}")


def prepare_image(data: bytes, max_megapixels: float = math.inf) -> bytes:
    """Return any image as a JPEG or PNG that the models can read.

    A small one is enlarged, with its proportions. White is added beside it where it would still be
    too narrow. One of more than ``max_megapixels`` is decoded at a reduced size.

    Raises:
        UndecodableImage: truncated or damaged.
        TooLarge: too many pixels.
    """
    data = for_ollama(data, max_megapixels)
    with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
        short, long = sorted(image.size)
        if short >= MIN_SIDE_PX and long <= MAX_RATIO * short:
            return data
        scale = min(max(1.0, MIN_SIDE_PX / short), max(1.0, MAX_SIDE_PX / long))
        width, height = (max(1, round(side * scale)) for side in image.size)
        enlarged = image.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
    least = max(MIN_SIDE_PX, math.ceil(max(width, height) / MAX_RATIO))
    framed = Image.new("RGB", (max(width, least), max(height, least)), "white")
    framed.paste(enlarged, ((framed.width - width) // 2, (framed.height - height) // 2))
    buffer = io.BytesIO()
    framed.save(buffer, "PNG")
    return buffer.getvalue()
