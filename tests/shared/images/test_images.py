"""What is decoded, what is refused, and how large it may be."""

import struct
import zlib
from typing import Any

import pytest
from PIL import Image

from shared.errors import TooLarge, UndecodableImage
from shared.images import check_header, decode_rgb
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
def test_every_format_comes_out_as_rgb_of_the_same_size_and_colour(image_format: str) -> None:
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
def test_transparency_is_laid_on_white(
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
def test_of_several_frames_the_first_is_taken(image_format: str) -> None:
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
    # HEIF's encoder turns the orientation into a property of the file, as phones do.
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
            # A float is no text: Pillow reads this entry, and cannot write it again.
            struct.pack("<4sIHHHIIHHIfI", b"II*", 8, 2, 0x0112, 3, 1, 6, 0x0131, 11, 1, 1.5, 0),
            (16, 32),
            id="orientation-beside-nonsense",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
def test_damaged_exif_costs_no_picture(
    image_format: str, exif: bytes, size: tuple[int, int]
) -> None:
    data = encode(Image.new("RGB", (32, 16), RED), image_format, exif=b"Exif\0\0" + exif)

    image = decode_rgb(data)

    assert image.size == size
    assert centre(image) == pytest.approx(RED, abs=LOSSY)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"no picture, just words", id="text"),
        pytest.param(b"<html><body>404</body></html>", id="html"),
        pytest.param(b'<svg xmlns="http://www.w3.org/2000/svg"/>', id="svg"),
        pytest.param(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", id="pdf"),
        pytest.param(bytes(4096), id="zeros"),
        pytest.param(b"\xff\xd8\xff\xe0", id="jpeg-magic-only"),
        pytest.param(b"\x89PNG\r\n\x1a\n", id="png-magic-only"),
        pytest.param(b"GIF89a", id="gif-magic-only"),
        pytest.param(b"P5 0 0 255\n", id="no-pixels"),
        pytest.param(encode(plain("RGB", RED), "EPS"), id="eps"),
    ],
)
def test_what_is_no_known_image_is_refused_by_header_and_by_decoder(data: bytes) -> None:
    with pytest.raises(UndecodableImage):
        check_header(data, 50)
    with pytest.raises(UndecodableImage):
        decode_rgb(data)


@pytest.mark.parametrize("image_format", [*FORMATS, "QOI"])
def test_a_truncated_image_is_refused_and_not_filled_up_with_grey(image_format: str) -> None:
    data = encode(Image.effect_noise((64, 64), 80).convert("RGB"), image_format)

    with pytest.raises(UndecodableImage):
        decode_rgb(data[: len(data) // 2])


@pytest.mark.parametrize(
    ("image_format", "header_bytes"), [("BMP", 54), ("PPM", 13), ("GIF", 1000), ("PNG", 60)]
)
def test_a_header_without_pixels_is_refused(image_format: str, header_bytes: int) -> None:
    data = encode(Image.effect_noise((64, 64), 80).convert("RGB"), image_format)

    with pytest.raises(UndecodableImage):
        decode_rgb(data[:header_bytes])


@pytest.mark.parametrize("image_format", FORMATS)
def test_the_size_is_read_from_every_format(image_format: str) -> None:
    data = encode(Image.new("RGB", (48, 32)), image_format)

    assert check_header(data, 50) == (48, 32)


@pytest.mark.parametrize(
    "side", [pytest.param(9000, id="ours"), pytest.param(30_000, id="pillow's-own-limit")]
)
def test_too_many_megapixels_are_refused_without_decoding(side: int) -> None:
    data = one_bit_png(side, side)

    with pytest.raises(TooLarge):
        check_header(data, 50)

    assert len(data) < 200


def test_the_message_names_size_and_limit() -> None:
    with pytest.raises(TooLarge, match="9000 x 8000 pixels; the limit is 50 megapixels"):
        check_header(one_bit_png(9000, 8000), 50)


def test_the_limit_itself_is_allowed() -> None:
    data = encode(Image.new("1", (1000, 1000)), "PNG")

    assert check_header(data, 1) == (1000, 1000)
    with pytest.raises(TooLarge):
        check_header(data, 0.99)


def test_a_raised_limit_goes_beyond_what_pillow_warns_of() -> None:
    assert check_header(one_bit_png(10_000, 10_000), 120) == (10_000, 10_000)
