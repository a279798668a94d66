"""A file whose picture is not there to its end is refused; Pillow leaves some of them black."""

import struct
import zlib
from functools import partial
from typing import Any

import pytest
from PIL import Image

from shared.errors import UndecodableImage
from shared.images import check_header, decode_rgb, for_ollama
from shared.images.jpeg import SOS, header
from tests.shared.images.files import RED, Layout, encode, png_chunk, quadrants, tiff
from tests.stack import SAMPLES

WIDTH, HEIGHT = 40, 100
START = b"\x89PNG\r\n\x1a\n"
ROW = b"\0" + bytes(RED) * WIDTH


def png(pixels: bytes, *parts: bytes, interlaced: bool = False) -> bytes:
    """Return a PNG of 40 x 100 pixels whose compressed data are sound, whatever they hold."""
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, interlaced)
    data = png_chunk(b"IDAT", zlib.compress(pixels))
    return START + png_chunk(b"IHDR", header) + data + b"".join(parts or [png_chunk(b"IEND", b"")])


def interlaced_rows() -> bytes:
    """Return the rows of all seven passes: figure 10 of the standard."""
    passes = (
        (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
        (0, 1, 1, 2),
    )  # fmt: skip
    return b"".join(
        b"\0" + bytes(RED) * len(range(left, WIDTH, right))
        for left, upper, right, lower in passes
        for _ in range(upper, HEIGHT, lower)
    )


@pytest.mark.parametrize("rows", [1, 50, HEIGHT - 1])
@pytest.mark.parametrize("end", [png_chunk(b"IEND", b""), png_chunk(b"tEXt", b"a\0b"), b"\0\0"])
def test_a_png_with_too_few_rows_is_refused(rows: int, end: bytes) -> None:
    for read in (decode_rgb, for_ollama):
        with pytest.raises(UndecodableImage, match=f"data end after {rows} of {HEIGHT} rows"):
            read(png(ROW * rows, end))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("bytes_per_chunk", [100, 10**6])
def test_a_png_that_is_black_or_clear_at_its_end_is_not_truncated(
    mode: str, bytes_per_chunk: int
) -> None:
    whole = encode(Image.new(mode, (WIDTH, HEIGHT)), "PNG", compress_level=0)
    place = whole.index(b"IDAT") - 4
    (length,) = struct.unpack_from(">I", whole, place)
    data = whole[place + 8 : place + 8 + length]
    parts = [data[at : at + bytes_per_chunk] for at in range(0, length, bytes_per_chunk)]
    divided = b"".join(png_chunk(b"IDAT", part) for part in parts)

    image = decode_rgb(whole[:place] + divided + whole[place + 12 + length :])

    assert image.size == (WIDTH, HEIGHT)


def test_what_follows_the_last_row_does_not_count() -> None:
    black = bytes(len(ROW)) * HEIGHT
    cut = zlib.compress(black)[:-4]  # without the checksum
    whole, header = png(black), png(black).index(b"IDAT") - 4
    for data in (png(black + b"more"), whole[:header] + png_chunk(b"IDAT", cut)):
        assert decode_rgb(data).getextrema() == ((0, 0),) * 3


@pytest.mark.parametrize("share", [0.01, 0.1, 0.3, 0.6, 0.9, 0.999])
def test_an_interlaced_png_with_too_little_data_is_refused(share: float) -> None:
    pixels = interlaced_rows()
    assert decode_rgb(png(pixels, interlaced=True)).getpixel((39, 99)) == RED
    with pytest.raises(UndecodableImage):
        decode_rgb(png(pixels[: int(len(pixels) * share)], interlaced=True))


def test_a_truncated_png_in_an_icon_is_refused() -> None:
    def icon(content: bytes) -> bytes:
        size = WIDTH, HEIGHT, 0, 0, 1, 32, len(content), 22
        return struct.pack("<HHHBBBBHHII", 0, 1, 1, *size) + content

    assert decode_rgb(icon(png(ROW * HEIGHT))).size == (WIDTH, HEIGHT)
    with pytest.raises(UndecodableImage, match="after 99 of 100 rows"):
        decode_rgb(icon(png(ROW * 99)))


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize(
    "options",
    [
        {"subsampling": 0}, {"subsampling": 2}, {"restart_marker_rows": 1}, {"progressive": True},
        {"optimize": True, "quality": 30},
    ],
    ids=str,
)  # fmt: skip
def test_a_jpeg_that_ends_before_its_last_row_is_refused(
    mode: str, options: dict[str, Any]
) -> None:
    photo = Image.open(SAMPLES / "cat.jpg").resize((200, 300)).convert(mode)
    whole = encode(photo, "JPEG", **options)
    (start,) = [segment.end for segment in header(whole) if segment.marker == SOS]
    rest = whole.index(b"\xff\xda", start) if "progressive" in options else len(whole) - 2
    assert decode_rgb(whole).size == photo.size
    for share in (0.0, 0.1, 0.5, 0.9, 0.99):
        cut = whole[: start + int((rest - start) * share)].rstrip(b"\xff") + b"\xff\xd9"
        for read in (decode_rgb, for_ollama, reduced):
            with pytest.raises(UndecodableImage, match=r"truncated|broken"):
                read(cut)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("size", [(8, 8), (33, 47), (640, 480)])
def test_a_jpeg_that_is_grey_at_its_end_is_not_truncated(
    mode: str, *, progressive: bool, size: tuple[int, int]
) -> None:
    grey = Image.new("RGB", size, (128, 128, 128)).convert(mode)
    for image in (grey, grey.point([127] * 256 * len(grey.getbands()))):
        data = encode(image, "JPEG", progressive=progressive)
        for behind in (b"", b"more", data):
            assert decode_rgb(data + behind).size == size


def reduced(data: bytes) -> Image.Image:
    return decode_rgb(data, needed=lambda _: (20, 20))


def entry(tag: int, code: str, count: int, value: int | None = None) -> bytes:
    """Return an entry of a TIFF's directory, to the end of its value if that is given."""
    start = struct.pack("<HHI", tag, 3 if code == "H" else 4, count)
    return start if value is None else start + struct.pack(f"<{code}", value)


@pytest.mark.parametrize(
    ("layout", "whole", "cut"),
    [
        pytest.param(
            Layout(8, samples=3), entry(278, "H", 1, HEIGHT), entry(278, "H", 1, 10), id="rows"
        ),
        pytest.param(
            Layout(8, samples=3, planar=True), entry(273, "I", 3), entry(273, "I", 2), id="planes"
        ),
    ],
)
def test_an_uncompressed_tiff_without_some_strips_is_refused(
    layout: Layout, whole: bytes, cut: bytes
) -> None:
    data = tiff(bytes(WIDTH * HEIGHT * 3), (WIDTH, HEIGHT), layout)
    assert decode_rgb(data).size == (WIDTH, HEIGHT)
    assert data.count(whole) == 1

    for read in (decode_rgb, partial(check_header, max_megapixels=50)):
        with pytest.raises(UndecodableImage, match="strips or tiles are missing"):
            read(data.replace(whole, cut))


@pytest.mark.parametrize(
    ("image_format", "options"),
    [
        ("PNG", {}), ("JPEG", {}), ("JPEG", {"progressive": True}), ("GIF", {}), ("WEBP", {}),
        ("WEBP", {"lossless": True}), ("BMP", {}), ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}), ("JPEG2000", {}), ("AVIF", {}), ("HEIF", {}),
        ("ICO", {}), ("DDS", {}), ("SGI", {}), ("PPM", {}), ("PCX", {}), ("TGA", {}),
        ("TGA", {"compression": "tga_rle"}), ("QOI", {}),
    ],
)  # fmt: skip
def test_a_file_that_was_not_transferred_as_a_whole_is_refused(
    image_format: str, options: dict[str, Any]
) -> None:
    whole = encode(quadrants(), image_format, **options)
    for share in (0.2, 0.5, 0.8):
        with pytest.raises(UndecodableImage):
            decode_rgb(whole[: int(len(whole) * share)])
