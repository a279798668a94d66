"""Image functions: check a size by the header, decode any image to upright RGB, prepare for Ollama.

Nothing else in the project reads image files, so whatever strangers send meets the limits of this
package.
"""

import io
import math
import threading
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import TypeVar

from PIL import Image

from shared.errors import UndecodableImage
from shared.images import jpeg
from shared.images.last_row import check_last_row
from shared.images.opening import LARGEST_MEGAPIXELS, decoder_errors, open_image
from shared.images.orientation import SWAPPING, transposition_of
from shared.images.pixels_only import pixels_only
from shared.images.reduction import REDUCIBLE, check_scans, fit_within, reduce_to
from shared.images.tones import to_rgb
from shared.units import MEGA

JPEG_QUALITY = 92
_reduced_decoding = threading.Lock()
"""Images over the limit are decoded one at a time: each may need ``reduction.MAX_DECODER_MB``."""
T = TypeVar("T")
Needed = Callable[[tuple[int, int]], tuple[int, int]]
"""From an upright image's size (width, height), returns the size that is enough of it."""


def check_header(data: bytes, max_megapixels: float) -> tuple[int, int]:
    """Read an image's size in pixels (width, height) from its header, without decoding it.

    An image of more than ``max_megapixels`` passes if it can be decoded at a reduced size.

    Raises:
        UndecodableImage: no image in a supported format.
        TooLarge: too many pixels.
    """
    size = jpeg.usual_size(data)
    if size and size[0] * size[1] <= min(max_megapixels, LARGEST_MEGAPIXELS) * MEGA:
        return size
    return _read_in_two_ways(partial(_size, max_megapixels), data)


def decode_rgb(
    data: bytes, max_megapixels: float = math.inf, needed: Needed | None = None
) -> Image.Image:
    """Decode any image, or the first frame of several, to upright 8-bit RGB.

    EXIF orientation is applied, transparent pixels are blended with white, and deeper greys are
    scaled to 8 bits. An image of more than ``max_megapixels`` is decoded at a reduced size. Damaged
    metadata is ignored.

    Args:
        data: the file.
        max_megapixels: the limit for decoded images.
        needed: says how large the image must be at least; a decoder that can make it smaller than
            it is, but not smaller than that, does.

    Raises:
        UndecodableImage: truncated or damaged.
        TooLarge: too many pixels.
    """
    return _read_in_two_ways(partial(_decode, max_megapixels, needed), data)


def for_ollama(data: bytes, max_megapixels: float = math.inf) -> bytes:
    """Return an upright RGB or grey JPEG or PNG: the bytes as they are if they are one.

    Ollama reads few formats, ignores EXIF orientation, and refuses PNGs with damaged metadata.

    Raises:
        UndecodableImage: truncated or damaged.
        TooLarge: too many pixels.
    """
    if _is_plain(max_megapixels, data):
        return data
    buffer = io.BytesIO()
    decode_rgb(data, max_megapixels).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def _read_in_two_ways(read: Callable[[bytes], T], data: bytes) -> T:
    """Read a file as it is and, if that fails, with only those parts that its pixels need."""
    try:
        return read(data)
    except UndecodableImage as err:
        rewritten = pixels_only(data)
        if rewritten is None:
            raise
        try:
            return read(rewritten)
        except UndecodableImage:
            raise err from None  # what is wrong with the whole file


def _size(max_megapixels: float, data: bytes) -> tuple[int, int]:
    with open_image(data) as image, decoder_errors("The image's header is damaged"):
        size = image.size
        fit_within(max_megapixels, image, data)
        return size


def _decode(max_megapixels: float, needed: Needed | None, data: bytes) -> Image.Image:
    with open_image(data) as image, decoder_errors("The image cannot be decoded"):
        check_scans(image, data)
        is_reduced = fit_within(max_megapixels, image, data)
        if needed and not is_reduced and image.format in REDUCIBLE:
            lies = transposition_of(image) in SWAPPING
            width, height = needed(image.size[::-1] if lies else image.size)
            reduce_to((height, width) if lies else (width, height), image, data)
        with _reduced_decoding if is_reduced else nullcontext():
            image.load()
            check_last_row(image, data)
        transposition = transposition_of(image)
        rgb = to_rgb(image)
        return rgb if transposition is None else rgb.transpose(transposition)


def _is_plain(max_megapixels: float, data: bytes) -> bool:
    """Return whether Ollama can have the file as it is."""
    try:
        with open_image(data) as image, decoder_errors("The image cannot be decoded"):
            if image.format not in ("JPEG", "PNG") or image.mode not in ("RGB", "L"):
                return False
            check_scans(image, data)
            if fit_within(max_megapixels, image, data) or transposition_of(image) is not None:
                return False
            image.load()
            check_last_row(image, data)
        with open_image(data) as image, decoder_errors("The image is damaged"):
            image.verify()  # the checksums of PNGs
    except UndecodableImage:
        return False
    return True
