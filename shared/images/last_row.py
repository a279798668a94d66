"""Sees that a decoded picture is there to its last row, where Pillow does not."""

from PIL import ImageFile

from shared.errors import UndecodableImage
from shared.images import jpeg, png
from shared.images.opening import decoder_errors, open_image

MIDDLE = frozenset(range(124, 133))
"""What libjpeg leaves of a block without data in each channel, or nearly: it may smooth blocks."""
_OTHER_BITS = 40 * bytes(range(0x35, 0xE5, 7))
"""Bits for several blocks, none of which looks like one without data."""


def check_last_row(image: ImageFile.ImageFile, data: bytes) -> None:
    """Check that the last row of a decoded image was in its file, if that is in doubt.

    Raises:
        UndecodableImage: it was not.
    """
    if image.format == "PNG" and not image.info.get("interlace"):
        last_row = image.crop((0, image.height - 1, image.width, image.height))
        if not any(last_row.tobytes()):  # black or clear, as rows that are missing are
            png.check_rows(data)
    elif image.format in ("JPEG", "MPO"):
        last = image.crop((image.width - 1, image.height - 1, image.width, image.height))
        if MIDDLE.issuperset(last.tobytes()):
            _check_end(data)


def _check_end(data: bytes) -> None:
    """Check that a JPEG's blocks are all there before the marker that ends it.

    libjpeg leaves blocks grey, and Pillow raises nothing, if the marker comes too early. More bits
    before the marker are decoded only if blocks are missing.

    Raises:
        UndecodableImage: blocks are missing.
    """
    end = jpeg.end_of_image(data)
    if _outline(data) != _outline(data[:end] + _OTHER_BITS + data[end:]):
        raise UndecodableImage("The JPEG is truncated: its data end before its last row.")


def _outline(data: bytes) -> bytes:
    """Return the picture at an eighth of its size, to which each block gives one pixel."""
    with open_image(data) as image, decoder_errors("The image cannot be decoded"):
        image.draft(image.mode, (1, 1))
        return image.tobytes()
