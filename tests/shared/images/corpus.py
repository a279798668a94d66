"""A corpus of image files: formats, modes, layouts, orientations and brands, with their pictures.

Each file shows four quadrants; what they must look like upright in RGB is part of the case.
"""

import itertools
import struct
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import pillow_heif
from PIL import Image

from tests.shared.images.files import (
    BLACK,
    COLOURS,
    GREYS,
    STORED_AS,
    WHITE,
    Colour,
    Layout,
    encode,
    orientation,
    psd,
    quadrants,
    tiff,
    with_brand,
)

pillow_heif.register_heif_opener(thumbnails=False)

EXACT, LOSSY, ROUGH = 1, 8, 24
"""How far a colour may be off; rough: few colours or bits, or a turned picture with lossy edges."""


class Case(NamedTuple):
    """One file and its picture."""

    name: str
    make: Callable[[], bytes]
    quadrants: Sequence[Colour] = COLOURS
    tolerance: int = EXACT


def greys(*values: int) -> list[Colour]:
    return [(value, value, value) for value in values]


CLEAR = [*COLOURS[:3], WHITE]
"""The colours of a picture whose last quadrant is transparent."""
IN_GREY = greys(*(round(0.299 * r + 0.587 * g + 0.114 * b) for r, g, b in COLOURS))
STRETCHED = greys(0, 81, 174, 255)
"""``GREYS``, scaled by their range."""


def picture(mode: str) -> tuple[Image.Image, Sequence[Colour]]:
    """Return a picture in a mode, and what it looks like."""
    match mode:
        case "1":
            return quadrants("1", (0, 1, 1, 0)), (BLACK, WHITE, WHITE, BLACK)
        case "L":
            return quadrants("L", GREYS), greys(*GREYS)
        case "LA" | "RGBA":
            image = quadrants().convert(mode)
            image.putalpha(quadrants("L", (255, 255, 255, 0)))
            return image, CLEAR if mode == "RGBA" else [*IN_GREY[:3], WHITE]
        case "I;16" | "I;16B":
            return quadrants(mode, [grey * 257 for grey in GREYS]), greys(*GREYS)
        case "P":
            return quadrants().quantize(16), COLOURS
    return quadrants().convert(mode), COLOURS


ENCODERS: tuple[tuple[str, str, int, tuple[dict[str, Any], ...]], ...] = (
    ("JPEG", "L RGB CMYK YCbCr", LOSSY, (
        {"quality": 95, "subsampling": 0},
        {"quality": 90, "subsampling": 1},
        {"quality": 85, "subsampling": 2, "progressive": True},
        {"quality": 80, "optimize": True, "restart_marker_blocks": 2},
    )),
    ("PNG", "1 L LA P RGB RGBA I;16", EXACT, ({}, {"compress_level": 0})),
    ("WEBP", "L RGB RGBA", LOSSY, ({"quality": 90}, {"lossless": True})),
    ("GIF", "1 L P RGB", EXACT, ({}, {"interlace": 0})),
    ("BMP", "1 L P RGB", EXACT, ({},)),
    ("DIB", "L RGB", EXACT, ({},)),
    ("TIFF", "1 L LA P RGB RGBA CMYK YCbCr LAB I;16", ROUGH, (
        {}, {"compression": "tiff_lzw"}, {"compression": "tiff_adobe_deflate"}, {"big_tiff": True},
    )),
    ("TIFF", "RGB", LOSSY, (
        {"compression": "packbits"}, {"compression": "jpeg"}, {"compression": "zstd"},
    )),
    ("TIFF", "I;16B", EXACT, ({},)),
    ("TIFF", "1", EXACT, ({"compression": "group4"},)),
    ("JPEG2000", "L LA RGB RGBA", LOSSY, (
        {}, {"no_jp2": True}, {"irreversible": True, "tile_size": (32, 32)},
    )),
    ("JPEG2000", "I;16", EXACT, ({},)),
    ("AVIF", "L RGB RGBA", LOSSY, ({"quality": 90}, {"quality": 90, "subsampling": "4:4:4"})),
    ("HEIF", "L RGB RGBA", LOSSY, ({"quality": 90},)),
    ("PPM", "1 L RGB I;16", EXACT, ({},)),
    ("TGA", "L P RGB RGBA", EXACT, ({}, {"compression": "tga_rle"})),
    ("PCX", "1 L P RGB", EXACT, ({},)),
    ("SGI", "L RGB RGBA", EXACT, ({}, {"bpc": 2})),
    ("QOI", "RGB RGBA", EXACT, ({},)),
    ("DDS", "L LA RGB RGBA", EXACT, ({},)),
    ("DDS", "RGBA", ROUGH, ({"pixel_format": "DXT1"}, {"pixel_format": "DXT5"})),
    ("ICO", "L RGB RGBA", EXACT, ({"sizes": [(96, 64)]},)),
    ("ICO", "RGBA", EXACT, ({"sizes": [(96, 64)], "bitmap_format": "bmp"},)),
)  # fmt: skip
"""Format, modes, tolerance and the options of Pillow's encoders."""


def _by_encoders() -> Iterator[Case]:
    for image_format, modes, tolerance, variants in ENCODERS:
        for mode in modes.split():
            for options in variants:
                image, seen = picture(mode)
                words = [str(value) for value in options.values()]
                name = "-".join((image_format, mode, *words)).replace(" ", "")
                yield Case(name, partial(encode, image, image_format, **options), seen, tolerance)


def _by_hand() -> Iterator[Case]:
    for mode in ("L", "P", "RGB", "RGBA", "CMYK"):
        image, seen = picture(mode)
        for packed in (False, True):
            yield Case(f"PSD-{mode}-{packed}", partial(psd, image, packed=packed), seen)
    words = " ".join(map(str, quadrants().tobytes()))
    yield Case("PPM-text", f"P3 96 64 255\n{words}".encode)
    deep = struct.pack(f">{96 * 64 * 3}H", *(value * 257 for value in quadrants().tobytes()))
    yield Case("PPM-rgb16", lambda: b"P6 96 64 65535\n" + deep)


def _frames() -> Iterator[Case]:
    def several(image_format: str) -> bytes:
        others = [Image.new("RGB", (96, 64), WHITE)]
        return encode(quadrants(), image_format, save_all=True, append_images=others)

    for image_format in ("MPO", "GIF", "WEBP", "PNG", "TIFF", "AVIF", "HEIF"):
        yield Case(f"{image_format}-frames", partial(several, image_format), COLOURS, LOSSY)


SAMPLES = {"B": 1, "b": 2, "H": 1, "h": 2, "I": 1, "i": 2, "f": 3}
"""TIFF's sample format, by type code of ``struct``."""


def deep_grey(code: str, scale: float, offset: float, **layout: Any) -> bytes:
    """Return a TIFF of ``GREYS``, each scaled and shifted, in samples of some type."""
    grey = quadrants("L", GREYS)
    kind = float if code == "f" else int
    samples = [kind(pixel * scale + offset) for pixel in grey.tobytes()]
    raw = struct.pack(f"{layout.get('order', '<')}{len(samples)}{code}", *samples)
    bits = struct.calcsize(code) * 8
    return tiff(raw, grey.size, Layout(bits, SAMPLES[code], **layout))


def _deep_greys() -> Iterator[Case]:
    """In 16 bits white is 65535 unless all would be black, otherwise it is the lightest pixel."""
    for order, compressed in itertools.product("<>", (False, True)):
        for code, scale, offset, seen in (
            ("H", 257, 0, greys(*GREYS)),
            ("H", 16, 0, STRETCHED),
            ("h", 257, -32768, STRETCHED),
            ("I", 2**24 + 2**8, 0, STRETCHED),
            ("i", 2**23 + 2**7, 0, STRETCHED),
            ("i", 2**24, -(2**31), STRETCHED),
            ("f", 1 / 255, 0, STRETCHED),
            ("f", 1, 0, STRETCHED),
            ("f", 1e6, -3e7, STRETCHED),
        ):
            layout = {"order": order, "compressed": compressed}
            name = f"TIFF{order}{code}-{scale:g}{'-compressed' * compressed}"
            yield Case(name, partial(deep_grey, code, scale, offset, **layout), seen)
    yield Case("TIFF-int8", partial(deep_grey, "b", 1, -128), greys(*GREYS))
    negative = greys(*(255 - grey for grey in GREYS))
    yield Case("TIFF-negative", partial(deep_grey, "H", 257, 0, white_is_zero=True), negative)
    yield Case("PFM", partial(encode, quadrants("F", GREYS), "PPM"), STRETCHED)


def _deep_colours() -> Iterator[Case]:
    image = quadrants()
    by_pixel, by_plane = image.tobytes(), b"".join(band.tobytes() for band in image.split())
    for order, planar, compressed in itertools.product("<>", (False, True), (False, True)):
        pixels = by_plane if planar else by_pixel
        raw = struct.pack(f"{order}{len(pixels)}H", *(value * 257 for value in pixels))
        layout = Layout(16, order=order, samples=3, planar=planar, compressed=compressed)
        name = f"TIFF{order}rgb16{'-planar' * planar}{'-compressed' * compressed}"
        yield Case(name, partial(tiff, raw, image.size, layout))


def _oriented() -> Iterator[Case]:
    for value in range(1, 9):
        upright = quadrants()
        stored = upright.transpose(STORED_AS[value]) if value in STORED_AS else upright
        options = {"quality": 95, "exif": orientation(value)}
        for image_format in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"):
            make = partial(encode, stored, image_format, **options)
            yield Case(f"{image_format}-orientation-{value}", make, COLOURS, ROUGH)


def _branded(image_format: str, major: bytes, compatible: bytes) -> bytes:
    return with_brand(encode(quadrants(), image_format, quality=90), major, compatible)


def _with_brands() -> Iterator[Case]:
    for image_format, brand in (("AVIF", b"avif"), ("HEIF", b"heic")):
        for major in (b"mif1", b"msf1", b"miaf", b"MA1B", b"isom", b"heic", b"avif", b"xxxx"):
            for compatible in (brand, b"mif1"):
                name = f"{image_format}-{major.decode()}-{compatible.decode()}"
                make = partial(_branded, image_format, major, compatible)
                yield Case(name, make, COLOURS, LOSSY)


CORPUS = (
    *_by_encoders(), *_by_hand(), *_frames(), *_deep_greys(), *_deep_colours(), *_oriented(),
    *_with_brands(),
)  # fmt: skip
