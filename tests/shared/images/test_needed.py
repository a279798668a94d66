"""Images are decoded no larger than needed, where their decoder can do that."""

from typing import Any

import pytest
from PIL import Image

from shared.images import decode_rgb
from tests.shared.images.files import centres, encode, orientation, quadrants, with_segment

SIZE = (1500, 1001)


def decoded(data: bytes, least: tuple[int, int]) -> Image.Image:
    return decode_rgb(data, 50, lambda _: least)


@pytest.mark.parametrize(
    ("least", "size"),
    [
        ((1500, 1001), (1500, 1001)),
        ((751, 400), (1500, 1001)),
        ((750, 400), (750, 501)),
        ((300, 251), (750, 501)),
        ((300, 250), (375, 251)),
        ((8, 8), (188, 126)),
    ],
)
@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["baseline", "progressive"])
def test_a_jpeg_is_divided_by_2_4_or_8(
    least: tuple[int, int], size: tuple[int, int], options: dict[str, Any]
) -> None:
    picture = quadrants(size=SIZE)
    image = decoded(encode(picture, "JPEG", **options), least)
    assert image.size == size
    for found, expected in zip(centres(image), centres(picture), strict=True):
        assert max(abs(a - b) for a, b in zip(found, expected, strict=True)) < 8


def test_a_jpeg_2000_is_divided_too() -> None:
    picture = quadrants(size=SIZE)
    assert decoded(encode(picture, "JPEG2000"), (375, 250)).size == (375, 251)
    assert decoded(encode(picture, "JPEG2000"), (376, 250)).size == (750, 501)


@pytest.mark.parametrize("image_format", ["PNG", "WEBP", "TIFF", "BMP"])
def test_other_formats_are_decoded_in_full(image_format: str) -> None:
    assert decoded(encode(quadrants(size=SIZE), image_format), (8, 8)).size == SIZE


def test_what_is_needed_is_said_of_the_upright_image() -> None:
    data = with_segment(encode(quadrants(size=SIZE), "JPEG"), 0xE1, orientation(6))
    seen = []

    def needed(size: tuple[int, int]) -> tuple[int, int]:
        seen.append(size)
        return 250, 375

    assert decode_rgb(data, 50, needed).size == (251, 375)
    assert seen == [SIZE[::-1]]
