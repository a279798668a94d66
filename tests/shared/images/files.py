"""Makes image files: by Pillow's own encoders, so that what is decoded is what clients send.

Formats that Pillow only reads, and layouts that it does not write, are put together by hand.
"""

import io
import struct
import zlib
from collections.abc import Sequence
from typing import Any

from PIL import Image, PngImagePlugin

Colour = tuple[int, ...]

RED, GREEN, BLUE, YELLOW = (200, 30, 60), (20, 160, 40), (30, 50, 200), (220, 210, 40)
WHITE, BLACK = (255, 255, 255), (0, 0, 0)
COLOURS = (RED, GREEN, BLUE, YELLOW)
GREYS = (30, 90, 160, 220)
STORED_AS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""What an encoder did to an upright picture, by EXIF orientation."""


def encode(image: Image.Image, image_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def quadrants(
    mode: str = "RGB", colours: Sequence[Any] = COLOURS, size: tuple[int, int] = (96, 64)
) -> Image.Image:
    """Return a picture, wider than high, that looks different however it is turned."""
    width, height = size[0] // 2, size[1] // 2
    image = Image.new(mode, size, colours[0])
    places = ((width, 0), (0, height), (width, height))
    for place, colour in zip(places, colours[1:], strict=True):
        image.paste(Image.new(mode, size, colour), place)
    return image


def centres(image: Image.Image) -> list[Any]:
    """Return the colours in the middle of the four quadrants."""
    width, height = image.size
    places = [(x * width // 4, y * height // 4) for y in (1, 3) for x in (1, 3)]
    return [image.getpixel(place) for place in places]


def orientation(value: int) -> bytes:
    """Return EXIF that says how a picture was stored."""
    exif = Image.Exif()
    exif[0x0112] = value
    return exif.tobytes()


def png_chunk(kind: bytes, body: bytes, *, crc: int | None = None) -> bytes:
    crc = zlib.crc32(kind + body) if crc is None else crc
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)


def with_chunk(png: bytes, chunk: bytes, before: bytes = b"IDAT") -> bytes:
    """Return a PNG with one more chunk."""
    place = png.index(before) - 4
    return png[:place] + chunk + png[place:]


def png_text(key: str, text: str, *, compressed: bool = True) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_itxt(key, text, zip=compressed)
    return info


def with_segment(jpeg: bytes, marker: int, content: bytes) -> bytes:
    """Return a JPEG with one more segment, at its start."""
    segment = struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content
    return jpeg[:2] + segment + jpeg[2:]


def with_brand(isobmff: bytes, major: bytes, compatible: bytes) -> bytes:
    """Return an AVIF or HEIF whose container names other brands."""
    length = int.from_bytes(isobmff[:4])
    brands = compatible * ((length - 16) // 4)
    return isobmff[:8] + major + isobmff[12:16] + brands + isobmff[length:]


class Layout:
    """How a TIFF stores its samples."""

    def __init__(
        self,
        bits: int,
        sample_format: int = 1,
        *,
        order: str = "<",
        white_is_zero: bool = False,
        samples: int = 1,
        planar: bool = False,
        compressed: bool = False,
    ) -> None:
        self.bits, self.sample_format, self.order = bits, sample_format, order
        self.photometric = 2 if samples == 3 else int(not white_is_zero)
        self.samples, self.planes = samples, samples if planar else 1
        self.compressed = compressed


def tiff(pixels: bytes, size: tuple[int, int], layout: Layout, extra: bytes = b"") -> bytes:
    """Return a TIFF of one strip, or one for each plane.

    Args:
        pixels: the samples as they are stored.
        size: width and height.
        layout: what the samples are.
        extra: entries of the directory beyond those for the pixels, in 12 bytes each.
    """
    order, plane = layout.order, len(pixels) // layout.planes
    if layout.compressed:
        planes = [zlib.compress(pixels[n * plane : (n + 1) * plane]) for n in range(layout.planes)]
        plane = max(map(len, planes))
        pixels = b"".join(part.ljust(plane, b"\0") for part in planes)
    entries = [
        (256, "H", [size[0]]), (257, "H", [size[1]]), (258, "H", [layout.bits] * layout.samples),
        (259, "H", [8 if layout.compressed else 1]), (262, "H", [layout.photometric]),
        (273, "I", [8 + n * plane for n in range(layout.planes)]),
        (277, "H", [layout.samples]), (278, "H", [size[1]]), (279, "I", [plane] * layout.planes),
        (284, "H", [1 if layout.planes == 1 else 2]),
        (339, "H", [layout.sample_format] * layout.samples),
    ]  # fmt: skip
    values_at = 8 + len(pixels)
    values, directory = b"", b""
    for tag, code, numbers in entries:
        value = struct.pack(f"{order}{len(numbers)}{code}", *numbers)
        if len(value) > 4:
            values, value = values + value, struct.pack(f"{order}I", values_at + len(values))
        directory += struct.pack(f"{order}HHI", tag, 3 if code == "H" else 4, len(numbers))
        directory += value.ljust(4, b"\0")
    count = struct.pack(f"{order}H", len(entries) + len(extra) // 12)
    head = b"II*\0" if order == "<" else b"MM\0*"
    start = struct.pack(f"{order}I", values_at + len(values))
    return head + start + pixels + values + count + directory + extra + bytes(4)


def psd(image: Image.Image, *, packed: bool = False, has_composite: bool = True) -> bytes:
    """Return a PSD without layers, in the colour mode of an image."""
    mode = {"1": 0, "L": 1, "P": 2, "RGB": 3, "RGBA": 3, "CMYK": 4}[image.mode]
    palette = bytes(image.getpalette() or ()) if image.mode == "P" else b""
    # Photoshop stores palettes by channel, and CMYK inverted.
    palette = b"".join(palette[n::3].ljust(256, b"\0") for n in range(3)) if palette else b""
    bands = [band.tobytes() for band in image.split()]
    if image.mode == "CMYK":
        bands = [bytes(255 - value for value in band) for band in bands]
    version = struct.pack(">4sHHI", b"8BIM", 1057, 0, 6) + bytes([0, 0, 0, 1, has_composite, 0])
    header = struct.pack(">4sH6xHIIHH", b"8BPS", 1, len(bands), image.height, image.width, 8, mode)
    parts = [header, palette, version, b""]
    head = parts[0] + b"".join(struct.pack(">I", len(part)) + part for part in parts[1:])
    if not packed:
        return head + struct.pack(">H", 0) + b"".join(bands)
    rows = [
        _packbits(band[start : start + image.width])
        for band in bands
        for start in range(0, len(band), image.width)
    ]
    lengths = b"".join(struct.pack(">H", len(row)) for row in rows)
    return head + struct.pack(">H", 1) + lengths + b"".join(rows)


def _packbits(row: bytes) -> bytes:
    """Encode in literal runs; see Apple's Technical Note 1023."""
    runs = [row[start : start + 128] for start in range(0, len(row), 128)]
    return b"".join(bytes([len(run) - 1]) + run for run in runs)
