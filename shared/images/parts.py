"""Counts the parts of a file before Pillow reads them, which takes it about a microsecond for each.

A file of 64 MB can have so many that its header alone would take half a minute, and the API reads
headers too.
"""

import itertools
import re
import struct
from collections.abc import Callable, Iterator, Sequence

from PIL import TiffImagePlugin

from shared.errors import TooLarge
from shared.images import jpeg, png

MAX_PARTS = 20_000
"""Segments, chunks, blocks, boxes or strips. A PNG of 64 MB in the usual chunks of 8 kB has 8,000,
the header of a JPEG a segment for each 64 kB of metadata, and a TIFF at most a strip for each row.
"""
USUAL_BYTES = 2**20
"""Of a photo that was made smaller for a model."""
_GIF = (b"GIF87a", b"GIF89a")
_JP2 = b"\0\0\0\x0cjP  \r\n\x87\n"
_JP2_NESTED = (b"jp2h", b"res ")
"""Boxes that consist of boxes which Pillow reads, the second kind within the first."""
_JPC = b"\xff\x4f\xff\x51"
_JPC_COMMENT, _JPC_TILE, _JPC_END = 0x64, 0x90, 0xD9
"""Markers at which Pillow stops reading."""
_TIFF = tuple(TiffImagePlugin.PREFIXES)
_BIG_TIFF = 43
_TIFF_NUMBERS = frozenset(
    (*range(256, 260), 262, 266, *range(273, 285), 296, 317, *range(320, 326), 338, 339, 529, 530)
)
"""Tags whose numbers Pillow makes objects of when it opens a file; those of others lie unread."""
_PSD = b"8BPS"
_PNM = tuple(b"P%c" % letter for letter in b"0123456fy")
"""What Pillow takes for a PNM."""
_PNM_WORD = re.compile(rb"#[^\r\n]*|[^\s#]+(\s?)")
"""A comment, or a word of the header with its end, if it has one."""


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
        for prefix, parts in _READERS:
            if data.startswith(prefix):
                yield from parts(data)
    except (struct.error, IndexError, OverflowError):  # the file ends: decoders say what is wrong
        return


def _png_chunks(data: bytes) -> Iterator[bool]:
    yield from (True for _ in png.chunks(data))


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
    """Yield the boxes, and the markers of the picture's header: see ITU-T T.800, section I.4."""
    return _boxes(data, 0, len(data), _JP2_NESTED)


def _boxes(data: bytes, position: int, end: int, nested: Sequence[bytes]) -> Iterator[bool]:
    while position < end:
        yield True
        size, kind = struct.unpack_from(">I4s", data, position)
        content = position + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, content)
            content += 8
        if kind == b"jp2c":
            yield from _jpc_markers(data, content)
        if size < 8:  # the last box, or a damaged one
            return
        if kind in nested[:1]:
            yield from _boxes(data, content, min(position + size, end), nested[1:])
        position += size


def _jpc_markers(data: bytes, position: int = 0) -> Iterator[bool]:
    """Yield the marker segments before the first tile: see ITU-T T.800, annex A."""
    position += 2  # the start of the codestream
    while data[position + 1] not in (_JPC_COMMENT, _JPC_TILE, _JPC_END):
        yield True
        (size,) = struct.unpack_from(">H", data, position + 2)
        position += 2 + max(size, 2)


def _tiff_numbers(data: bytes) -> Iterator[bool]:
    """Yield the entries of the first directory, and the numbers that Pillow makes objects of.

    It makes a tile of each offset of a strip, too, however few rows there are.
    """
    order = "<" if data.startswith(TiffImagePlugin.II) else ">"
    is_big = data[2] == _BIG_TIFF
    offset = struct.Struct(f"{order}{'8xQ' if is_big else '4xI'}")
    head = struct.Struct(f"{order}{'Q' if is_big else 'H'}")
    entry = struct.Struct(f"{order}{'HHQ8x' if is_big else 'HHI4x'}")
    (position,) = offset.unpack_from(data)
    (count,) = head.unpack_from(data, position)
    position += head.size
    for _ in range(count):
        yield True
        tag, _, numbers = entry.unpack_from(data, position)
        if tag in _TIFF_NUMBERS:
            yield from itertools.repeat(True, min(numbers, MAX_PARTS))  # noqa: FBT003
        position += entry.size


def _psd_resources(data: bytes) -> Iterator[bool]:
    """Yield the image resources, which Pillow keeps all."""
    position = 26  # after the header
    (size,) = struct.unpack_from(">I", data, position)  # of the colour mode's data
    position += 4 + size
    (size,) = struct.unpack_from(">I", data, position)  # of the resources
    position += 4
    end = position + size
    while position < end:
        yield True
        name = position + 6  # after the signature and the number
        content = name + 1 + (data[name] | 1)
        (size,) = struct.unpack_from(">I", data, content)
        position = content + 4 + size + size % 2


def _pnm_bytes(data: bytes) -> Iterator[bool]:
    """Yield very often if the header does not end soon: Pillow reads it byte by byte."""
    words = sum(bool(found[1]) for found in _PNM_WORD.finditer(data, 0, MAX_PARTS))
    if words < (3 if data[1] in b"14" else 4):  # bitmaps have no largest value
        yield from itertools.repeat(True, MAX_PARTS + 1)  # noqa: FBT003


_READERS: tuple[tuple[bytes | tuple[bytes, ...], Callable[[bytes], Iterator[bool]]], ...] = (
    (png.SIGNATURE, _png_chunks),
    (jpeg.SOI, _jpeg_segments),
    (_GIF, _gif_blocks),
    (_JP2, _jp2_boxes),
    (_JPC, _jpc_markers),
    (_TIFF, _tiff_numbers),
    (_PSD, _psd_resources),
    (_PNM, _pnm_bytes),
)
"""What yields the parts of files that begin so."""
