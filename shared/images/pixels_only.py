"""Rewrites a file whose metadata is damaged or too large: only what its pixels need is left.

Whether a picture is read must not depend on what stands beside it. A file gets here after it could
not be read as it is, so Pillow's limits on compressed metadata stay in force.
"""

import struct
import zlib
from collections.abc import Iterator

from PIL import TiffImagePlugin

from shared.images import jpeg, png

_PNG_KEPT = (b"tRNS", b"eXIf")
"""Ancillary chunks that tell how the picture looks: transparency and orientation."""
_ANCILLARY = 0x20
"""The bit of a chunk's name that says that decoders may ignore it."""
_EXIF, _ADOBE = 0xE1, 0xEE
"""JPEG's application segments for orientation, and for how colours are coded."""
_TIFF_KEPT = frozenset(
    (
        *range(256, 260), 262, 266, 273, 274, 277, 278, 279, 284, 292, 293, 317, *range(320, 326),
        332, 338, 339, 347, *range(529, 533),
    )
)  # fmt: skip
"""TIFF's tags on the layout, coding and orientation of pixels."""


def pixels_only(data: bytes) -> bytes | None:
    """Return a file without what its pixels do not need; ``None`` if that changes nothing."""
    try:
        if data.startswith(png.SIGNATURE):
            rewritten = b"".join(_png_parts(memoryview(data)))
        elif data.startswith(jpeg.SOI):
            rewritten = b"".join(_jpeg_parts(data))
        elif data.startswith((b"II*\0", b"MM\0*")):
            rewritten = _tiff(data)
        elif data[4:8] == b"ftyp":
            rewritten = _with_matching_brand(data)
        else:
            return None
    except (struct.error, IndexError):
        return None
    return None if rewritten == data else rewritten


def _png_parts(data: memoryview) -> Iterator[memoryview]:
    """Yield all critical chunks, and intact ones of a few others; see the standard, section 5."""
    yield data[: len(png.SIGNATURE)]
    for kind, start, end in png.chunks(data):
        if end > len(data):
            yield data[start:]
            return
        is_intact = zlib.crc32(data[start + 4 : end - 4]) == int.from_bytes(data[end - 4 : end])
        if not kind[0] & _ANCILLARY or (kind in _PNG_KEPT and is_intact):
            yield data[start:end]


def _jpeg_parts(data: bytes) -> Iterator[bytes]:
    yield jpeg.SOI
    end = len(jpeg.SOI)
    for segment in jpeg.header(data):
        end = segment.end
        is_metadata = segment.marker in jpeg.APPLICATION or segment.marker == jpeg.COMMENT
        content = data[segment.start + 4 : segment.end]
        is_needed = (segment.marker == _EXIF and content.startswith(b"Exif\0\0")) or (
            segment.marker == _ADOBE and content.startswith(b"Adobe") and len(content) >= 12
        )
        if is_needed or not is_metadata:
            yield data[segment.start : segment.end]
    yield data[end:]


def _tiff(data: bytes) -> bytes:
    """Append a directory of the first image with the tags that are needed, and point to it."""
    order = "<" if data.startswith(TiffImagePlugin.II) else ">"
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, start)
    entries = [data[at : at + 12] for at in range(start + 2, start + 2 + 12 * count, 12)]
    kept = [entry for entry in entries if struct.unpack(f"{order}H", entry[:2])[0] in _TIFF_KEPT]
    padded = data + bytes(len(data) % 2)
    directory = struct.pack(f"{order}H", len(kept)) + b"".join(kept) + bytes(4)
    return padded[:4] + struct.pack(f"{order}I", len(padded)) + padded[8:] + directory


def _with_matching_brand(data: bytes) -> bytes:
    """Name the brand of HEIF that tells by which codec the picture was coded.

    Decoders choose by the brand, and many files name a general one, such as ``mif1`` or ``miaf``.
    """
    brand = b"avif" if b"av1C" in _box(data, b"meta") else b"heic"
    return data[:8] + brand + data[12:]


def _box(data: bytes, kind: bytes) -> bytes:
    """Return the content of the first box of a kind; see ISO/IEC 14496-12, section 4.2."""
    start = 0
    while start + 8 <= len(data):
        size, found = struct.unpack_from(">I4s", data, start)
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, start + 8)
        end = start + size if size else len(data)
        if found == kind:
            return data[start:end]
        if end < start + 8:
            break
        start = end
    return b""
