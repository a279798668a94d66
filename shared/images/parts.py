"""Counts the parts of a file before Pillow reads them, which takes it about a microsecond for each.

A file of 64 MB can have so many that its header alone would take half a minute, and the API reads
headers too.
"""

import itertools
import struct
from collections.abc import Iterator

from shared.errors import TooLarge
from shared.images import jpeg, png

MAX_PARTS = 20_000
"""Segments, chunks, blocks or boxes. A PNG of 64 MB in the usual chunks of 8 kB has 8,000, and the
header of a JPEG has a segment for each 64 kB of metadata."""
USUAL_BYTES = 2**20
"""Of a photo that was made smaller for a model."""
_GIF = (b"GIF87a", b"GIF89a")
_JP2 = b"\0\0\0\x0cjP  \r\n\x87\n"


def check_parts(data: bytes) -> None:
    """Refuse a file of very many parts.

    Raises:
        TooLarge: it has.
    """
    if len(data) <= MAX_PARTS or _is_usual_jpeg(data):
        return
    if next(itertools.islice(_parts(data), MAX_PARTS, None), None):
        raise TooLarge(f"The image file has more than {MAX_PARTS} parts.")


def _is_usual_jpeg(data: bytes) -> bool:
    """Return whether a file is a JPEG with too few markers to have very many parts."""
    is_small = len(data) <= USUAL_BYTES  # to look through a large one takes longer than its header
    return is_small and data.startswith(jpeg.SOI) and data.count(b"\xff") <= MAX_PARTS


def _parts(data: bytes) -> Iterator[bool]:
    """Yield once for each part that is read before the picture; of PNGs, for all."""
    try:
        if data.startswith(png.SIGNATURE):
            yield from (True for _ in png.chunks(data))
        elif data.startswith(jpeg.SOI):
            yield from _jpeg_segments(data)
        elif data.startswith(_GIF):
            yield from _gif_blocks(data)
        elif data.startswith(_JP2):
            yield from _jp2_boxes(data)
    except (struct.error, IndexError):  # the file ends: decoders say what is wrong with it
        return


def _jpeg_segments(data: bytes) -> Iterator[bool]:
    end = len(jpeg.SOI)
    for segment in jpeg.header(data):
        # Any number of these bytes may stand before a marker; Pillow reads them one by one.
        yield from itertools.repeat(True, 1 + data.count(b"\xff", end, segment.start))  # noqa: FBT003
        end = segment.end


def _gif_blocks(data: bytes) -> Iterator[bool]:
    """Yield the data blocks of extensions before the first picture: see GIF89a, section 23."""
    flags = data[10]
    position = 13 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)
    while data[position] == ord("!"):
        position += 2
        while size := data[position]:
            yield True
            position += 1 + size
        yield True
        position += 1


def _jp2_boxes(data: bytes) -> Iterator[bool]:
    """Yield the boxes: see ITU-T T.800, section I.4."""
    position = 0
    while position < len(data):
        yield True
        (size,) = struct.unpack_from(">I", data, position)
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, position + 8)
        if size < 8:  # the last box, or a damaged one
            return
        position += size
