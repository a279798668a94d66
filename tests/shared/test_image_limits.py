"""Images that are refused, and sizes read from headers."""

import pytest
from PIL import Image

from shared.errors import TooLarge, UndecodableImage
from shared.images import check_header, decode_rgb
from tests.shared.pictures import FORMATS, RED, encode, one_bit_png, plain


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
def test_data_in_no_supported_format_is_refused_by_header_and_by_decoder(data: bytes) -> None:
    with pytest.raises(UndecodableImage):
        check_header(data, 50)
    with pytest.raises(UndecodableImage):
        decode_rgb(data)


@pytest.mark.parametrize("image_format", [*FORMATS, "QOI"])
def test_a_truncated_image_is_refused_and_not_padded_with_grey(image_format: str) -> None:
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


def test_the_limit_may_exceed_the_size_that_pillow_warns_of() -> None:
    assert check_header(one_bit_png(10_000, 10_000), 120) == (10_000, 10_000)
