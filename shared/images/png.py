"""The structure of PNG files: chunks and rows. See https://www.w3.org/TR/png-3/."""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from shared.errors import UndecodableImage

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples of a pixel by colour type: table 8 of the standard."""
_STEP_IN, _STEP_OUT = 2**16, 2**20
"""Bytes that are inflated at a time, before and after."""


class Chunk(NamedTuple):
    """One chunk: ``data[start:end]`` is all of it, ``data[start + 8:end - 4]`` its content.

    If the file ends within it, ``end`` lies beyond the file's end.
    """

    kind: bytes
    start: int
    end: int


def chunks(data: bytes | memoryview) -> Iterator[Chunk]:
    """Yield the chunks up to the one that ends the image; the last may be cut off.

    What follows the image is none of it: screenshots of some phones have more there.
    """
    start, kind = len(SIGNATURE), b""
    while start < len(data) and kind != b"IEND":
        end = start + 12 + int.from_bytes(data[start : start + 4])
        kind = bytes(data[start + 4 : start + 8])
        yield Chunk(kind, start, end)
        start = end


def check_rows(data: bytes | memoryview) -> None:
    """Check that no row is missing; for a PNG that Pillow has decoded and that is not interlaced.

    Pillow leaves rows black, and raises nothing, if the compressed data end properly before them.

    Raises:
        UndecodableImage: rows are missing.
    """
    rows, row_bytes, found = 0, 1, 0
    inflate = zlib.decompressobj()
    for chunk in chunks(data):
        content = data[chunk.start + 8 : chunk.end - 4]
        if chunk.kind == b"IHDR":
            width, rows, depth, colour = struct.unpack_from(">IIBB", content)
            row_bytes = 1 + (width * depth * _SAMPLES[colour] + 7) // 8  # the first is the filter
        elif chunk.kind == b"IDAT":
            try:
                found += _inflated(inflate, content, rows * row_bytes - found)
            except zlib.error:
                return  # behind the rows: Pillow reports damage within them
        elif found:
            break
    if found < rows * row_bytes:
        raise UndecodableImage(
            f"The PNG is truncated: its data end after {found // row_bytes} of {rows} rows."
        )


def _inflated(inflate: "zlib._Decompress", content: bytes | memoryview, most: int) -> int:
    """Return how many bytes come of a part of the data; no more than ``most`` are counted."""
    found = 0
    for place in range(0, len(content), _STEP_IN):
        part: bytes | memoryview = content[place : place + _STEP_IN]
        while found < most and (out := inflate.decompress(part, min(_STEP_OUT, most - found))):
            found += len(out)
            part = inflate.unconsumed_tail
    return found
