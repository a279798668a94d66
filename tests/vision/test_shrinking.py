"""Large photos go over the network smaller, others as they are."""

import io

import pytest
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from vision.runner.shrinking import shrunk


def test_a_large_photo_goes_over_the_network_smaller_upright_and_in_its_colours() -> None:
    noise = Image.effect_noise((3000, 2200), 90).convert("RGB")
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112], exif[0x010F] = 6, "Camera"
    noise.save(file, "JPEG", quality=95, exif=exif, icc_profile=b"profile")
    sent = shrunk(file.getvalue())
    with Image.open(io.BytesIO(sent)) as image:
        assert image.size == (2048, 1502)
        assert image.getexif().get(0x0112) == 6
        assert image.info["icc_profile"] == b"profile"
    assert len(sent) < len(file.getvalue())


@pytest.mark.parametrize(
    ("kind", "value", "kept"),
    [(2, "6", None), (4, 70000, None), (7, b"C", None), (9, -1, None), (5, 6.0, 6), (12, 6.0, 6)],
)
def test_a_large_photo_with_a_damaged_orientation_is_made_smaller_like_others(
    kind: int, value: object, kept: int | None
) -> None:
    tags = ImageFileDirectory_v2()
    tags.tagtype[0x0112] = kind
    tags[0x0112] = value
    exif, file = b"Exif\0\0II*\0\x08\0\0\0" + tags.tobytes(8), io.BytesIO()
    Image.effect_noise((2400, 1400), 90).convert("RGB").save(file, "JPEG", exif=exif, quality=95)
    sent = shrunk(file.getvalue())
    assert len(sent) < len(file.getvalue())
    with Image.open(io.BytesIO(sent)) as image:
        assert image.getexif().get(0x0112) == kept


def test_photos_that_are_small_or_cannot_be_read_here_go_as_they_are() -> None:
    small, png = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (4000, 10)).save(small, "JPEG")
    Image.effect_noise((2100, 700), 90).save(png, "PNG")
    for content in (small.getvalue(), png.getvalue(), bytes(2 << 20), b"\xff\xd8" * (1 << 20)):
        assert shrunk(content) is content
