"""What is decoded, what is refused, and how large it may be."""

import struct
import zlib
from typing import Any

import pytest
from PIL import Image

from shared.images import decode_rgb
from tests.shared.images.files import (
    BLUE,
    GREEN,
    RED,
    STORED_AS,
    WHITE,
    centres,
    encode,
    orientation,
    png_chunk,
    quadrants,
)

LOSSY = 6
"""How far a colour may be off after a lossy encoder."""
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "JPEG2000", "HEIF", "AVIF", "PPM", "TGA")


def plain(mode: str, colour: Any, side: int = 32) -> Image.Image:
    return Image.new(mode, (side, side), colour)


def centre(image: Image.Image) -> object:
    return image.getpixel((image.width // 2, image.height // 2))


def one_bit_png(width: int, height: int) -> bytes:
    """Return a valid header of a huge black and white picture whose pixels are missing."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    pixels = png_chunk(b"IDAT", zlib.compress(bytes(64)))
    return b"\x89PNG\r\n\x1a\n" + header + pixels + png_chunk(b"IEND", b"")


@pytest.mark.parametrize("image_format", FORMATS)
def test_every_format_is_decoded_to_rgb_of_the_same_size_and_colour(image_format: str) -> None:
    data = encode(plain("RGB", RED), image_format)

    image = decode_rgb(data)

    assert (image.mode, image.size) == ("RGB", (32, 32))
    assert centre(image) == pytest.approx(RED, abs=LOSSY)


@pytest.mark.parametrize(
    ("mode", "colour", "image_format", "expected"),
    [
        pytest.param("CMYK", (0, 255, 255, 0), "JPEG", (255, 0, 0), id="cmyk-jpeg"),
        pytest.param("CMYK", (0, 255, 255, 0), "TIFF", (255, 0, 0), id="cmyk-tiff"),
        pytest.param("L", 77, "JPEG", (77, 77, 77), id="grey-jpeg"),
        pytest.param("1", 0, "PNG", (0, 0, 0), id="one-bit-black"),
        pytest.param("1", 1, "PNG", WHITE, id="one-bit-white"),
        pytest.param("1", 1, "TIFF", WHITE, id="one-bit-tiff"),
        pytest.param("I;16", 0, "PNG", (0, 0, 0), id="16-bit-black"),
        pytest.param("I;16", 128 * 257, "PNG", (128, 128, 128), id="16-bit-middle"),
        pytest.param("I;16", 65535, "PNG", WHITE, id="16-bit-white"),
        pytest.param("I;16", 64 * 257, "TIFF", (64, 64, 64), id="16-bit-tiff"),
        pytest.param("I;16B", 64 * 257, "TIFF", (64, 64, 64), id="16-bit-big-endian-tiff"),
    ],
)
def test_other_colour_modes_are_converted_and_scaled(
    mode: str, colour: Any, image_format: str, expected: tuple[int, ...]
) -> None:
    image = decode_rgb(encode(plain(mode, colour), image_format))

    assert image.mode == "RGB"
    assert centre(image) == pytest.approx(expected, abs=1)


@pytest.mark.parametrize(
    ("mode", "colour", "image_format", "expected"),
    [
        pytest.param("RGBA", (255, 0, 0, 0), "PNG", WHITE, id="rgba-clear"),
        pytest.param("RGBA", (255, 0, 0, 128), "PNG", (255, 127, 127), id="rgba-half"),
        pytest.param("RGBA", (255, 0, 0, 255), "PNG", (255, 0, 0), id="rgba-opaque"),
        pytest.param("RGBA", (255, 0, 0, 0), "WEBP", WHITE, id="rgba-webp"),
        pytest.param("RGBA", (255, 0, 0, 0), "HEIF", WHITE, id="rgba-heic"),
        pytest.param("RGBA", (255, 0, 0, 0), "AVIF", WHITE, id="rgba-avif"),
        pytest.param("LA", (0, 0), "PNG", WHITE, id="grey-clear"),
        pytest.param("LA", (0, 128), "PNG", (127, 127, 127), id="grey-half"),
    ],
)
def test_transparency_is_blended_with_white(
    mode: str, colour: Any, image_format: str, expected: tuple[int, ...]
) -> None:
    image = decode_rgb(encode(plain(mode, colour), image_format))

    assert centre(image) == pytest.approx(expected, abs=1)


@pytest.mark.parametrize(
    ("image_format", "options", "expected"),
    [
        pytest.param("PNG", {}, RED, id="png-opaque"),
        pytest.param("GIF", {}, RED, id="gif-opaque"),
        pytest.param("PNG", {"transparency": 1}, WHITE, id="png-clear"),
        pytest.param("GIF", {"transparency": 1}, WHITE, id="gif-clear"),
        pytest.param("PNG", {"transparency": b"\xff\x80"}, (227, 142, 157), id="png-half"),
    ],
)
def test_a_palette_is_resolved_and_its_transparent_colour_is_white(
    image_format: str, options: dict[str, Any], expected: tuple[int, ...]
) -> None:
    picture = plain("P", 1)
    picture.putpalette([0, 0, 0, *RED])

    image = decode_rgb(encode(picture, image_format, **options))

    assert centre(image) == pytest.approx(expected, abs=1)


def test_a_transparent_grey_that_does_not_occur_changes_nothing_in_16_bits() -> None:
    opaque = encode(plain("I;16", 128 * 257), "PNG")
    pixels = opaque.index(b"IDAT") - 4
    transparent = png_chunk(b"tRNS", struct.pack(">H", 60_000))

    image = decode_rgb(opaque[:pixels] + transparent + opaque[pixels:])

    assert centre(image) == (128, 128, 128)


@pytest.mark.parametrize("image_format", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_the_first_of_several_frames_is_decoded(image_format: str) -> None:
    frames = [plain("RGB", colour) for colour in (RED, BLUE, GREEN)]
    data = encode(frames[0], image_format, save_all=True, append_images=frames[1:])

    image = decode_rgb(data)

    assert centre(image) == pytest.approx(RED, abs=LOSSY)


@pytest.mark.parametrize("value", range(1, 9))
def test_all_exif_orientations_come_out_upright(value: int) -> None:
    upright = quadrants()
    stored = upright.transpose(STORED_AS[value]) if value in STORED_AS else upright
    data = encode(stored, "JPEG", quality=95, exif=orientation(value))

    image = decode_rgb(data)

    assert image.size == upright.size
    for seen, drawn in zip(centres(image), centres(upright), strict=True):
        assert seen == pytest.approx(drawn, abs=LOSSY)


@pytest.mark.parametrize("image_format", ["PNG", "WEBP", "TIFF", "HEIF", "AVIF"])
def test_other_formats_come_out_upright_too(image_format: str) -> None:
    upright = quadrants()
    stored = upright.transpose(STORED_AS[6])
    # HEIF's encoder stores the orientation as a property of the file, as phones do.
    data = encode(stored, image_format, quality=95, exif=orientation(6))

    image = decode_rgb(data)

    assert image.size == upright.size
    for seen, drawn in zip(centres(image), centres(upright), strict=True):
        assert seen == pytest.approx(drawn, abs=3 * LOSSY)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    ("exif", "size"),
    [
        pytest.param(b"not EXIF at all", (32, 16), id="no-exif"),
        pytest.param(b"II*\0", (32, 16), id="cut-off"),
        pytest.param(
            # A float where a text belongs: Pillow can read this entry but not write it.
            struct.pack("<4sIHHHIIHHIfI", b"II*", 8, 2, 0x0112, 3, 1, 6, 0x0131, 11, 1, 1.5, 0),
            (16, 32),
            id="orientation-beside-nonsense",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
def test_an_image_with_damaged_exif_is_decoded(
    image_format: str, exif: bytes, size: tuple[int, int]
) -> None:
    data = encode(Image.new("RGB", (32, 16), RED), image_format, exif=b"Exif\0\0" + exif)

    image = decode_rgb(data)

    assert image.size == size
    assert centre(image) == pytest.approx(RED, abs=LOSSY)
