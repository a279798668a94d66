"""Greys of more than 8 bits come out as a picture, not as black or white."""

import io
import math
import struct
from typing import Any

import pytest
from PIL import Image

from shared.images import decode_rgb
from tests.shared.images.corpus import deep_grey
from tests.shared.images.files import GREYS, Layout, centres, encode, quadrants, tiff


def greys_of(data: bytes) -> list[int]:
    return [colour[0] for colour in centres(decode_rgb(data, 50))]


def floats(*values: float, outliers: tuple[float, ...] = ()) -> bytes:
    """Return a TIFF of four quadrants, in whose first pixels are other values."""
    image = quadrants("F", values)
    for number, value in enumerate(outliers):
        image.putpixel((number, 0), value)
    raw = struct.pack(f"<{96 * 64}f", *image.get_flattened_data())
    return tiff(raw, image.size, Layout(32, 3))


@pytest.mark.parametrize(
    "outliers",
    [
        pytest.param((math.nan,), id="nan"),
        pytest.param((math.inf, -math.inf), id="infinity"),
        pytest.param((-3.4028235e38,), id="no-data"),
        pytest.param((1e9, -1e9), id="broken-pixels"),
        pytest.param((1e29, 1e20, 1e10), id="broken-pixels-of-all-sizes"),
    ],
)
def test_a_few_odd_values_do_not_hide_the_rest(outliers: tuple[float, ...]) -> None:
    assert greys_of(floats(10, 20, 30, 40, outliers=outliers)) == pytest.approx(
        [0, 85, 170, 255], abs=5
    )


def test_many_pixels_without_a_value_are_dark() -> None:
    assert greys_of(floats(math.nan, 280, 290, 300)) == pytest.approx([0, 0, 128, 255], abs=1)


def test_a_picture_of_nan_is_decoded() -> None:
    assert len(set(greys_of(floats(*[math.nan] * 4)))) == 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [pytest.param(0.0, 0, id="zero"), pytest.param(7.0, 128, id="any"), (-7.0, 0)],
)
def test_a_picture_of_one_value_is_of_one_grey(value: float, expected: int) -> None:
    assert greys_of(floats(*[value] * 4)) == [expected] * 4


@pytest.mark.parametrize(
    ("image_format", "options"), [("PNG", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"})]
)
def test_12_bits_in_16_are_visible(image_format: str, options: dict[str, Any]) -> None:
    image = quadrants("I;16", [grey * 16 for grey in GREYS])
    assert greys_of(encode(image, image_format, **options)) == pytest.approx(
        [0, 81, 174, 255], abs=1
    )


def test_a_dark_picture_of_16_bits_stays_dark() -> None:
    image = quadrants("I;16", [grey * 257 // 4 for grey in GREYS])
    assert greys_of(encode(image, "PNG")) == pytest.approx([7, 22, 40, 55], abs=1)


def test_large_unsigned_values_are_light() -> None:
    data = deep_grey("I", 2**24, 0)
    with Image.open(io.BytesIO(data)) as image:
        assert image.getextrema()[0] < 0  # type: ignore[operator]  # as Pillow has them
    assert greys_of(data)[-1] == 255
