"""Decodes images at a reduced size: those over the limit, where that takes bounded memory.

Also those within it of which a model sees far less.

Measured with Pillow 13 and OpenJPEG 2.5: the growth of a process from header to decoded picture,
beside the file itself, and how long that took on one core. "Flat" are four areas of one colour,
"noise" is a picture of the same size that does not compress.

=======================  ==============  ==============  ==============
file                      60 MP           100 MP          200 MP
=======================  ==============  ==============  ==============
baseline JPEG, noise       15 MB, 0.6 s     7 MB, 1.1 s    13 MB, 1.8 s
progressive 4:2:0, flat   192 MB, 0.4 s   305 MB, 1.1 s   598 MB, 1.9 s
progressive 4:2:0, noise  192 MB, 2.2 s   305 MB, 4.8 s   598 MB, 8.1 s
progressive 4:4:4, flat   368 MB, 0.7 s   603 MB, 1.5 s  1200 MB: refused
JPEG 2000, noise           91 MB, 0.8 s    72 MB, 0.5 s
=======================  ==============  ==============  ==============
"""

import itertools
import math
import struct
from collections.abc import Iterable

from PIL import ImageFile, Jpeg2KImagePlugin, JpegImagePlugin

from shared.errors import TooLarge
from shared.images import jpeg
from shared.units import MEGA

MAX_DECODER_MB = 640
"""Memory that decoding at a reduced size may take. A progressive JPEG takes 2 bytes per sample of
its full size, so 213 megapixels pass in 4:2:0, and 106 in 4:4:4."""
SHORT_SIDE_PX = 1024
"""The short side is not reduced below that if the limit allows it; no model here sees more than
448 pixels, but those of Ollama's servers may."""
MAX_SCANS = 64
"""Of a JPEG. Encoders write 10, or 24 for CMYK. Each costs a pass over all pixels, even an empty
one, so that a small file could keep the decoder busy for minutes."""
REDUCIBLE = ("JPEG", "JPEG2000")
"""Formats whose decoders can make an image smaller than it is."""
_JPEG_SCALES = (2, 4, 8)
_REDUCIBLE_JPEGS = {0xC0, 0xC1, 0xC2}
"""Frames whose decoder can scale: baseline, extended, progressive; not lossless ones."""
_JPEG2000_BYTES = 32
"""Bytes per decoded pixel that OpenJPEG and Pillow need together: 20 to 25 were measured."""
_SIZ_SOC = b"\xff\x4f\xff\x51"
_COD, _COC, _SOT = 0xFF52, 0xFF53, 0xFF90
"""Markers of a JPEG 2000 codestream; see ITU-T T.800, annex A."""


def fit_within(max_megapixels: float, image: ImageFile.ImageFile, data: bytes) -> bool:
    """Have an image that is over the limit decoded at a reduced size; return whether it is.

    Args:
        max_megapixels: the limit for the decoded image.
        image: opened, but not yet decoded.
        data: the file.

    Raises:
        TooLarge: its format cannot do that, or not in bounded memory.
    """
    width, height = image.size
    limit = max_megapixels * MEGA
    if width * height <= limit:
        return False
    problem = f"The image has {width} x {height} pixels; the limit is {max_megapixels:g} megapixels"
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        _reduce_jpeg(image, data, limit, problem)
    elif isinstance(image, Jpeg2KImagePlugin.Jpeg2KImageFile):
        _reduce_jpeg2000(image, data, limit, problem)
    else:
        raise TooLarge(
            f"{problem}. A larger {image.format} cannot be decoded at a reduced size: send it as a "
            "JPEG or smaller, or raise VISION_MAX_MEGAPIXELS."
        )
    return True


def reduce_to(needed: tuple[int, int], image: ImageFile.ImageFile, data: bytes) -> None:
    """Have an image decoded at a reduced size that is not less than needed, where that can be.

    Args:
        needed: least width and height of the decoded image, as it lies in the file.
        image: opened, but not yet decoded, and within the limit.
        data: the file.
    """
    most = min(image.size[0] / needed[0], image.size[1] / needed[1])
    if most < _JPEG_SCALES[0]:
        return
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        if {segment.marker for segment in jpeg.header(data)} & _REDUCIBLE_JPEGS:
            image.draft(None, needed)
    elif isinstance(image, Jpeg2KImagePlugin.Jpeg2KImageFile):
        scales = [scale for scale in _jpeg2000_scales(data) if scale <= most]
        if scales:
            _set_jpeg2000_scale(image, max(scales))


def check_scans(image: ImageFile.ImageFile, data: bytes) -> None:
    """Refuse a JPEG with very many scans.

    Raises:
        TooLarge: it has.
    """
    if not isinstance(image, JpegImagePlugin.JpegImageFile):
        return
    scans = (segment for segment in jpeg.segments(data) if segment.marker == jpeg.SOS)
    if next(itertools.islice(scans, MAX_SCANS, None), None):
        raise TooLarge(f"The JPEG has more than {MAX_SCANS} scans.")


def _reduce_jpeg(
    image: JpegImagePlugin.JpegImageFile, data: bytes, limit: float, problem: str
) -> None:
    starts = {segment.marker: segment.start for segment in jpeg.header(data)}
    if not starts.keys() & _REDUCIBLE_JPEGS:
        raise TooLarge(f"{problem}. A larger JPEG is read if it is a baseline or progressive one.")
    colours_in_first_scan = data[starts[jpeg.SOS] + 4]
    if image.info.get("progressive") or colours_in_first_scan < image.layers:
        needed_mb = _coefficient_bytes(image) / MEGA
        if needed_mb > MAX_DECODER_MB:
            raise TooLarge(
                f"{problem}, and decoding such a progressive JPEG takes {needed_mb:.0f} MB. Save "
                "it as a baseline JPEG, or smaller."
            )
    scale = _scale(image.size, _JPEG_SCALES, limit, problem)
    width, height = image.size
    image.draft(None, (max(1, width // scale), max(1, height // scale)))


def _coefficient_bytes(image: JpegImagePlugin.JpegImageFile) -> int:
    """Return the size of a JPEG's coefficients, of which libjpeg keeps all if scans share them."""
    width, height = image.size
    most_h, most_v = (max(layer[axis] for layer in image.layer) for axis in (1, 2))
    blocks = sum(
        math.ceil(width * h / most_h / 8) * math.ceil(height * v / most_v / 8)
        for _, h, v, _ in image.layer
    )
    return blocks * 64 * 2


def _reduce_jpeg2000(
    image: Jpeg2KImagePlugin.Jpeg2KImageFile, data: bytes, limit: float, problem: str
) -> None:
    scales = _jpeg2000_scales(data)
    scale = _scale(image.size, scales, min(limit, MAX_DECODER_MB * MEGA / _JPEG2000_BYTES), problem)
    _set_jpeg2000_scale(image, scale)


def _set_jpeg2000_scale(image: Jpeg2KImagePlugin.Jpeg2KImageFile, scale: int) -> None:
    image.reduce = scale.bit_length() - 1
    width, height = image.size
    # Pillow rounds to the nearest size where OpenJPEG rounds up, and then refuses the result.
    image._size = math.ceil(width / scale) * scale, math.ceil(height / scale) * scale  # noqa: SLF001


def _jpeg2000_scales(data: bytes) -> list[int]:
    """Return by what a codestream's decoder can divide its size."""
    siz = data.index(_SIZ_SOC) + 4
    length, _, width, height, left, top, tile_width, tile_height = struct.unpack_from(
        ">HH6I", data, siz
    )
    is_wide = struct.unpack_from(">H", data, siz + 36)[0] > 256  # components, counted in 2 bytes
    levels = []
    position = siz + length
    while (marker := struct.unpack_from(">H", data, position)[0]) != _SOT:
        if marker == _COD:
            levels.append(data[position + 9])
        elif marker == _COC:
            levels.append(data[position + (8 if is_wide else 7)])
        position += 2 + struct.unpack_from(">H", data, position + 2)[0]
    is_tiled = tile_width < width or tile_height < height
    return [
        2**level
        for level in range(1, min(levels, default=0) + 1)
        if not (left or top or (is_tiled and (tile_width % 2**level or tile_height % 2**level)))
    ]


def _scale(size: tuple[int, int], scales: Iterable[int], limit: float, problem: str) -> int:
    """Return by what to divide a size: as much as leaves enough, and at least to the limit."""
    fitting = [s for s in scales if math.ceil(size[0] / s) * math.ceil(size[1] / s) <= limit]
    if not fitting:
        raise TooLarge(f"{problem}, and this file cannot be decoded that small. Send it smaller.")
    return max((s for s in fitting if min(size) // s >= SHORT_SIDE_PX), default=min(fitting))
