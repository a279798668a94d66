"""What images servers get: large enough for their models, with their proportions."""

import io

import pytest
from PIL import Image

from tests.conftest import png
from workers.remote.images import MAX_RATIO, MAX_SIDE_PX, MIN_SIDE_PX, prepare_image

RED = (200, 30, 30)


def prepared(width: int, height: int, mode: str = "RGB") -> tuple[bytes, Image.Image]:
    colour = RED if mode == "RGB" else 90
    data = png(Image.new(mode, (width, height), colour))
    after = prepare_image(data)
    image = Image.open(io.BytesIO(after))
    image.load()
    assert image.format in ("JPEG", "PNG")
    return (data if after is data else after), image


@pytest.mark.parametrize("size", [(32, 32), (33, 400), (640, 480), (6400, 32)])
def test_an_image_that_is_large_enough_is_sent_as_it_is(size: tuple[int, int]) -> None:
    data = png(Image.new("RGB", size, RED))
    assert prepare_image(data) is data


@pytest.mark.parametrize(
    "size", [(1, 1), (8, 8), (27, 27), (28, 20), (27, 257), (31, 31), (10, 500), (500, 10), (3, 9)]
)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_small_image_is_enlarged_with_its_proportions(size: tuple[int, int], mode: str) -> None:
    _, image = prepared(*size, mode=mode)
    assert min(image.size) == MIN_SIDE_PX
    assert image.width / image.height == pytest.approx(size[0] / size[1], rel=0.03)
    colours = image.convert("RGB").getcolors()
    assert colours
    assert [colour for _, colour in colours] == [RED if mode == "RGB" else (90, 90, 90)]


@pytest.mark.parametrize("size", [(1, 1000), (1000, 2), (1, 30_000), (32, 20_000), (9000, 20)])
def test_a_strip_is_framed_where_it_would_be_too_narrow(size: tuple[int, int]) -> None:
    _, image = prepared(*size)
    short, long = sorted(image.size)
    assert short >= MIN_SIDE_PX
    assert long <= max(MAX_SIDE_PX, *size)
    assert long <= MAX_RATIO * short
    assert image.getpixel(((image.width - 1) // 2, (image.height - 1) // 2)) == RED
    assert {colour for _, colour in image.getcolors() or ()} == {RED, (255, 255, 255)}


def test_what_is_on_a_small_image_stays_where_it_is() -> None:
    image = Image.new("RGB", (20, 10), "blue")
    image.paste(RED, (0, 0, 10, 10))
    after = Image.open(io.BytesIO(prepare_image(png(image))))
    assert after.size == (64, 32)
    assert after.getpixel((4, 16)) == RED
    assert after.getpixel((60, 16)) == (0, 0, 255)
