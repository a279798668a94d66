"""What is checked before a decoder gets to work."""

import struct
import zlib

import pytest

from shared.errors import TooLarge, UndecodableImage
from shared.images import check_header, decode_rgb
from tests.shared.images.files import encode, png_chunk, psd, quadrants


def icon(content: bytes) -> bytes:
    """Return an icon that says that its content has 32 x 32 pixels."""
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, 32, 32, 0, 0, 1, 32, len(content), 22) + content


def png_header(width: int, height: int) -> bytes:
    return png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))


PNG_START = b"\x89PNG\r\n\x1a\n"
NO_PIXELS = png_chunk(b"IDAT", zlib.compress(bytes(64)))
BITMAP = struct.pack("<IiiHHIIiiII", 40, 20_000, 20_000, 1, 24, 0, 0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(PNG_START + png_header(20_000, 20_000) + NO_PIXELS, id="png"),
        pytest.param(
            PNG_START + png_header(32, 32) + png_header(20_000, 20_000) + NO_PIXELS,
            id="png-with-two-headers",
        ),
        pytest.param(BITMAP, id="bitmap"),
    ],
)
def test_a_large_picture_in_an_icon_is_refused_before_it_is_decoded(content: bytes) -> None:
    for read in (check_header, decode_rgb):
        with pytest.raises(TooLarge, match="The icon has 20000 x"):
            read(icon(content), 50)


def test_an_icon_that_ends_in_its_directory_is_refused() -> None:
    whole = icon(encode(quadrants(), "PNG"))
    for length in (4, 6, 10, 22, 40):
        with pytest.raises(UndecodableImage):
            decode_rgb(whole[:length])


def test_a_psd_of_layers_only_is_refused_with_advice() -> None:
    with pytest.raises(UndecodableImage, match="option to maximise compatibility"):
        check_header(psd(quadrants(), has_composite=False), 50)


@pytest.mark.parametrize("signature", [b"8BPS", b"DDS ", b"\1\xda", b"\n\5\1\x08", b"qoif"])
def test_a_signature_alone_is_refused(signature: bytes) -> None:
    for data in (signature, signature + bytes(600), signature + b"\xff" * 600):
        with pytest.raises((UndecodableImage, TooLarge)):
            decode_rgb(data, 50)


def test_a_jpeg_2000_without_a_header_box_is_refused() -> None:
    data = encode(quadrants(), "JPEG2000").replace(b"jp2h", b"jp2x")
    with pytest.raises(UndecodableImage):
        check_header(data, 50)
