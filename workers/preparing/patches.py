"""The preparation of models that see images in their proportions, as a number of square patches."""

import math

from shared.images import decode_rgb
from workers.preparing.pixels import DECODED_PER_NEEDED, Size, packed
from workers.preparing.preparation import Preparation, Prepared

_LEAST_SCALE, _MOST_SCALE, _PRECISION = 1e-6, 100.0, 1e-5
"""Between which scales transformers searches, and how long."""


def patched(patch: int, most: int, resample: int) -> Preparation:
    """Resize to as many patches as possible, with proportions that are nearly kept.

    Args:
        patch: side of a patch, in pixels.
        most: largest number of patches.
        resample: filter, a value of :class:`PIL.Image.Resampling`.
    """
    parameters = {"patch": patch, "most": most, "resample": int(resample)}
    return Preparation(target=f"{__name__}:resized", parameters=parameters)


def resized(data: bytes, max_megapixels: float, patch: int, most: int, resample: int) -> Prepared:
    """Prepare as :func:`patched` says.

    Raises:
        VisionError: the image cannot be used.
    """

    def needed(whole: Size) -> Size:
        width, height = size_in_patches(whole, patch, most)
        return DECODED_PER_NEEDED * width, DECODED_PER_NEEDED * height

    image = decode_rgb(data, max_megapixels, needed)
    return packed(image.resize(size_in_patches(image.size, patch, most), resample))


def size_in_patches(size: Size, patch: int, most: int) -> Size:
    """Return width and height in pixels, multiples of ``patch``, for an image of ``size``.

    The result is that of transformers' ``get_image_size_for_max_num_patches``.
    """
    low, high = _LEAST_SCALE, _MOST_SCALE
    while high - low >= _PRECISION:
        middle = (low + high) / 2
        wide, tall = _patches(size, middle, patch)
        low, high = (middle, high) if wide * tall <= most else (low, middle)
    wide, tall = _patches(size, low, patch)
    return wide * patch, tall * patch


def _patches(size: Size, scale: float, patch: int) -> tuple[int, int]:
    wide, tall = (max(1, math.ceil(side * scale / patch)) for side in size)
    return wide, tall
