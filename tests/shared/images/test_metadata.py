"""What stands beside the pixels does not decide whether a picture is read."""

import random
import struct
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PIL import Image, ImageCms, PngImagePlugin

from shared.errors import UndecodableImage
from shared.images import check_header, decode_rgb, for_ollama
from tests.shared.images.files import (
    COLOURS,
    Layout,
    centres,
    encode,
    orientation,
    png_chunk,
    quadrants,
    tiff,
    with_chunk,
    with_segment,
)

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LARGE = b"".join(b"%06d" % number for number in range(250_000))
"""1.5 MB, which compressed chunks may not have by Pillow's own limit."""
PNG = encode(quadrants(), "PNG")
JPEG = encode(quadrants(), "JPEG", quality=95, exif=orientation(1))
KEY = b"Title\0"
ODD_UNIT = struct.pack("<HHIIHHI4s", 282, 2, 4, 0, 296, 3, 1, b"\3")
"""A TIFF's horizontal resolution as a text, and centimetres as its unit."""


def shows_the_picture(data: bytes) -> bool:
    """Return whether both ways in show the quadrants, and the header is read as well."""
    check_header(data, 50)
    pictures = decode_rgb(data, 50), decode_rgb(for_ollama(data, 50))
    return all(
        seen == pytest.approx(drawn, abs=8)
        for image in pictures
        for seen, drawn in zip(centres(image), COLOURS, strict=True)
    )


def text_chunk(kind: bytes, text: bytes) -> bytes:
    heads = {b"zTXt": KEY + b"\0", b"iTXt": KEY + b"\1\0\0\0", b"iCCP": KEY + b"\0"}
    return png_chunk(kind, heads[kind] + zlib.compress(text))


PNG_CHUNKS = {
    **{f"large-{kind.decode()}": text_chunk(kind, LARGE) for kind in (b"zTXt", b"iTXt", b"iCCP")},
    "wrong-checksum": png_chunk(b"tEXt", KEY + b"Cat", crc=0),
    "short-cHRM": png_chunk(b"cHRM", b"\0"),
    "short-gAMA": png_chunk(b"gAMA", b""),
    "short-pHYs": png_chunk(b"pHYs", b"\0"),
    "short-sRGB": png_chunk(b"sRGB", b""),
    "short-acTL": png_chunk(b"acTL", b"\0"),
    "unknown-compression": png_chunk(b"iCCP", KEY + b"\7" + PROFILE),
}


@pytest.mark.parametrize("before", [b"IDAT", b"IEND"])
@pytest.mark.parametrize("chunk", PNG_CHUNKS.values(), ids=PNG_CHUNKS)
def test_a_png_is_read_whatever_its_ancillary_chunks_are(chunk: bytes, before: bytes) -> None:
    assert shows_the_picture(with_chunk(PNG, chunk, before))


@pytest.mark.parametrize(
    ("marker", "content"),
    [
        pytest.param(0xE0, b"JFIF", id="short-jfif"),
        pytest.param(0xED, b"Photoshop 3.0\x008BIM\4\4", id="short-photoshop"),
        pytest.param(0xE2, b"ICC_PROFILE\0", id="short-icc"),
        pytest.param(0xEE, b"Adobe", id="short-adobe"),
        pytest.param(0xE2, b"MPF\0II*\0\xff\xff\xff\xff", id="odd-mpf"),
        pytest.param(0xE1, b"Exif\0\0" + bytes(9), id="second-exif"),
        pytest.param(0xFE, bytes(65_000), id="large-comment"),
    ],
)
def test_a_jpeg_is_read_whatever_its_application_segments_are(marker: int, content: bytes) -> None:
    assert shows_the_picture(with_segment(JPEG, marker, content))


def test_a_tiff_is_read_whatever_its_resolution_is() -> None:
    image = quadrants()
    assert shows_the_picture(tiff(image.tobytes(), image.size, Layout(8, samples=3), ODD_UNIT))


def full_of_metadata(image_format: str) -> bytes:
    """Return a picture with a profile, EXIF and, where there are any, texts."""
    exif = Image.Exif()
    for tag, value in {0x0112: 1, 0x010F: "Make", 0x011A: 72.0, 0x011B: 72.0, 0x0128: 2}.items():
        exif[tag] = value
    exif.get_ifd(0x8769).update({0x829A: 0.01, 0x927C: b"maker" * 20})
    exif.get_ifd(0x8825).update({1: "N", 2: (1.0, 2.0, 3.0)})
    texts = PngImagePlugin.PngInfo()
    texts.add_text("a", "hello" * 20)
    texts.add_text("b", "hello" * 200, zip=True)
    options: dict[str, dict[str, Any]] = {"PNG": {"pnginfo": texts}, "JPEG": {"quality": 95}}
    own = options.get(image_format, {})
    return encode(quadrants(), image_format, exif=exif, icc_profile=PROFILE, dpi=(72, 72), **own)


def png_metadata(data: bytes) -> Iterator[range]:
    start = 8
    while start < len(data):
        length, kind = struct.unpack_from(">I4s", data, start)
        if kind[0] & 0x20:
            yield range(start + 8, start + 12 + length)
        start += 12 + length


def tiff_metadata(data: bytes) -> Iterator[range]:
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        if struct.unpack_from("<H", data, entry)[0] not in (
            *(256, 257, 258, 259, 262, 273, 274, 277, 278, 279, 284, 339),
        ):
            yield range(entry + 2, entry + 12)


def jpeg_metadata(data: bytes) -> Iterator[range]:
    start = 2
    while data[start + 1] != 0xDA:
        (length,) = struct.unpack_from(">H", data, start + 2)
        if data[start + 1] in range(0xE0, 0xF0):
            yield range(start + 4, start + 2 + length)
        start += 2 + length


@pytest.mark.parametrize(
    ("image_format", "find"),
    [("PNG", png_metadata), ("TIFF", tiff_metadata), ("JPEG", jpeg_metadata)],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_picture_is_read_however_its_metadata_is_damaged(
    image_format: str, find: Callable[[bytes], Iterator[range]]
) -> None:
    intact = full_of_metadata(image_format)
    places = [place for found in find(intact) for place in found]
    random_source = random.Random(image_format)  # noqa: S311 - repeatable, nothing is secret
    assert len(places) >= 50
    for _ in range(200):
        damaged = bytearray(intact)
        for place in random_source.sample(places, random_source.choice((1, 2, 8))):
            damaged[place] = random_source.randrange(256)
        # EXIF may say by chance that the picture is to be turned.
        seen = sorted(centres(decode_rgb(bytes(damaged), 50)))
        for colour, drawn in zip(seen, sorted(COLOURS), strict=True):
            assert colour == pytest.approx(drawn, abs=8), damaged.hex()


@pytest.mark.parametrize("chunks", [1, 200])
def test_compressed_metadata_takes_bounded_memory(chunks: int) -> None:
    bomb = png_chunk(b"zTXt", KEY + b"\0" + zlib.compress(bytes(100_000_000), 9))
    almost = png_chunk(b"zTXt", KEY + b"\0" + zlib.compress(bytes(1_000_000), 9))
    data = with_chunk(PNG, (bomb if chunks == 1 else almost) * chunks)
    tracemalloc.start()

    decode_rgb(data, 50)

    assert tracemalloc.get_traced_memory()[1] < 80_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("kind", [b"IHDR", b"PLTE", b"IDAT"])
def test_damage_in_what_the_pixels_need_is_an_error(kind: bytes) -> None:
    data = bytearray(encode(quadrants().quantize(16), "PNG"))
    start = data.index(kind)
    data[start + 4 + (3 if kind == b"IHDR" else 8)] ^= 0x10

    with pytest.raises(UndecodableImage):
        decode_rgb(bytes(data), 50)


def test_an_intact_orientation_outlives_damaged_neighbours() -> None:
    turned = quadrants().transpose(Image.Transpose.ROTATE_90)
    png = with_chunk(encode(turned, "PNG", exif=orientation(6)), PNG_CHUNKS["wrong-checksum"])
    jpeg = encode(turned, "JPEG", quality=95, exif=orientation(6))

    assert shows_the_picture(png)
    assert shows_the_picture(with_segment(jpeg, 0xE0, b"JFIF"))


def test_transparency_outlives_damaged_neighbours() -> None:
    palette = quadrants().quantize(16)
    clear = palette.getpixel((0, 0))
    png = encode(palette, "PNG", transparency=clear)

    image = decode_rgb(with_chunk(png, PNG_CHUNKS["wrong-checksum"]))

    assert centres(image)[0] == (255, 255, 255)
