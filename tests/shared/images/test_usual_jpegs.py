"""The size of a usual JPEG is read without Pillow, and is what Pillow says."""

from collections.abc import Iterator

import pytest
from PIL import Image

from shared.images import check_header, jpeg
from tests.shared.images.files import encode, quadrants
from tests.stack import SAMPLES

PICTURE = quadrants().resize((70, 30))
PHOTO = encode(PICTURE, "JPEG")


def frame(data: bytes) -> jpeg.Segment:
    return next(part for part in jpeg.header(data) if part.marker in jpeg.USUAL_FRAMES)


def changed(data: bytes, place: int, value: bytes) -> bytes:
    return data[:place] + value + data[place + len(value) :]


def unusual() -> Iterator[tuple[str, bytes]]:
    start = frame(PHOTO).start
    yield "four components", encode(PICTURE.convert("CMYK"), "JPEG")
    yield "12 bits", changed(PHOTO, start + 4, b"\x0c")
    yield "height told later", changed(PHOTO, start + 5, b"\0\0")
    yield "arithmetic code", changed(PHOTO, start + 1, b"\xc9")
    yield "fill bytes", PHOTO[:start] + b"\xff" + PHOTO[start:]
    yield "cut off", PHOTO[: start + 6]
    yield "without pixels", PHOTO[: frame(PHOTO).end]
    yield "many segments", PHOTO[:2] + b"\xff\xfe\0\2" * jpeg.USUAL_SEGMENTS + PHOTO[2:]
    yield "PNG", encode(PICTURE, "PNG")
    yield "nothing", b""


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"comment": b"\xff\xc0" * 50}])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_the_size_of_a_usual_jpeg_is_known_without_pillow(
    monkeypatch: pytest.MonkeyPatch, mode: str, options: dict[str, object]
) -> None:
    data = encode(PICTURE.convert(mode), "JPEG", **options)
    monkeypatch.delattr(Image, "open")
    assert check_header(data, 50) == PICTURE.size


def test_so_is_that_of_the_sample_photo() -> None:
    photo = SAMPLES / "cat.jpg"
    with Image.open(photo) as opened:
        assert jpeg.usual_size(photo.read_bytes()) == opened.size


@pytest.mark.parametrize(("what", "data"), list(unusual()), ids=lambda value: str(value)[:20])
def test_whatever_is_unusual_is_left_to_pillow(what: str, data: bytes) -> None:
    assert jpeg.usual_size(data) is None, what
