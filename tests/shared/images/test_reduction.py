"""Images over the limit are decoded at a reduced size, in bounded memory."""

import io
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from shared.errors import TooLarge
from shared.images import check_header, decode_rgb, for_ollama
from shared.images.reduction import MAX_DECODER_MB, MAX_SCANS
from tests.shared.images.files import (
    COLOURS,
    STORED_AS,
    centres,
    encode,
    orientation,
    quadrants,
    with_segment,
)
from tests.stack import ROOT

SIZE = (1500, 1001)
"""1.5 megapixels, over the limit of the tests; the odd side is not rounded alike everywhere."""
LIMIT = 0.5


def large(mode: str = "RGB", size: tuple[int, int] = SIZE) -> Image.Image:
    image = quadrants(size=size)
    return image if mode == "RGB" else image.convert(mode)


JPEG_2000 = {"irreversible": True, "quality_mode": "rates", "quality_layers": [20]}


@pytest.mark.parametrize(
    ("image_format", "mode", "options"),
    [
        pytest.param("JPEG", "RGB", {"subsampling": 0}, id="jpeg-444"),
        pytest.param("JPEG", "RGB", {"subsampling": 2}, id="jpeg-420"),
        pytest.param("JPEG", "RGB", {"progressive": True}, id="jpeg-progressive"),
        pytest.param("JPEG", "CMYK", {}, id="jpeg-cmyk"),
        pytest.param("MPO", "RGB", {}, id="mpo"),
        pytest.param("JPEG2000", "RGB", {}, id="jp2"),
        pytest.param("JPEG2000", "RGB", {"no_jp2": True}, id="j2k"),
        pytest.param("JPEG2000", "RGB", JPEG_2000, id="jp2-lossy"),
        pytest.param("JPEG2000", "RGB", {"tile_size": (256, 256)}, id="jp2-tiles"),
        pytest.param("JPEG2000", "RGBA", {}, id="jp2-rgba"),
    ],
)
def test_jpeg_and_jpeg_2000_are_decoded_at_a_reduced_size(
    image_format: str, mode: str, options: dict[str, Any]
) -> None:
    data = encode(large(mode), image_format, **options)
    assert check_header(data, LIMIT) == SIZE

    image = decode_rgb(data, LIMIT)

    assert 0.1 < image.width * image.height / 1e6 <= LIMIT
    assert image.width / image.height == pytest.approx(SIZE[0] / SIZE[1], rel=0.01)
    for seen, drawn in zip(centres(image), COLOURS, strict=True):
        assert seen == pytest.approx(drawn, abs=8)


def test_ycck_is_reduced_in_the_colours_of_the_whole_image() -> None:
    cmyk = encode(large("CMYK"), "JPEG", quality=95)
    transform = cmyk.index(b"Adobe") + 11  # Pillow writes CMYK; 2 says that its bands are YCCK
    ycck = cmyk[:transform] + b"\2" + cmyk[transform + 1 :]
    small, whole = decode_rgb(ycck, LIMIT), decode_rgb(ycck)

    assert small.size != whole.size
    assert centres(whole) != centres(decode_rgb(cmyk))
    for seen, expected in zip(centres(small), centres(whole), strict=True):
        assert seen == pytest.approx(expected, abs=4)


@pytest.mark.parametrize("value", range(1, 9))
def test_a_reduced_image_is_upright(value: int) -> None:
    upright = large()
    stored = upright.transpose(STORED_AS[value]) if value in STORED_AS else upright
    data = encode(stored, "JPEG", quality=95, exif=orientation(value))

    for image in (decode_rgb(data, LIMIT), decode_rgb(for_ollama(data, LIMIT))):
        assert image.width > image.height
        for seen, drawn in zip(centres(image), COLOURS, strict=True):
            assert seen == pytest.approx(drawn, abs=8)


def test_an_image_within_the_limit_keeps_its_size_and_pixels() -> None:
    data = encode(Image.effect_noise(SIZE, 90), "JPEG")
    assert decode_rgb(data, 1.6).tobytes() == decode_rgb(data).tobytes()
    assert for_ollama(data, 1.6) is data


def test_the_short_side_is_kept_above_a_thousand_pixels_if_the_limit_allows_it() -> None:
    data = encode(large(size=(9000, 6000)), "JPEG")
    assert decode_rgb(data, 50).size == (2250, 1500)
    assert decode_rgb(encode(large(size=(9000, 2000)), "JPEG"), 16).size == (4500, 1000)


@pytest.mark.parametrize("image_format", ["PNG", "WEBP", "TIFF", "HEIF", "AVIF", "GIF", "BMP"])
def test_a_format_that_cannot_be_reduced_is_refused_with_advice(image_format: str) -> None:
    data = encode(large(), image_format)
    for read in (check_header, decode_rgb, for_ollama):
        with pytest.raises(
            TooLarge,
            match=rf"1500 x 1001 pixels; the limit is 0\.5 megapixels\. A larger {image_format} .*"
            r"send it as a JPEG or smaller, or raise VISION_MAX_MEGAPIXELS",
        ):
            read(data, LIMIT)


def test_what_is_too_large_even_when_reduced_is_refused() -> None:
    for data in (encode(large(), "JPEG"), encode(large(), "JPEG2000", num_resolutions=2)):
        with pytest.raises(TooLarge, match="cannot be decoded that small"):
            check_header(data, 0.01)


def with_size(jpeg: bytes, width: int, height: int) -> bytes:
    """Return a JPEG whose header states another size."""
    start = next(jpeg.index(marker) for marker in (b"\xff\xc0", b"\xff\xc2") if marker in jpeg)
    size = height.to_bytes(2) + width.to_bytes(2)
    return jpeg[: start + 5] + size + jpeg[start + 9 :]


def test_a_progressive_jpeg_that_needs_too_much_memory_is_refused_by_its_header() -> None:
    options = {"progressive": True, "subsampling": 0}
    fits = with_size(encode(large(), "JPEG", **options), 10_000, 10_000)
    too_large = with_size(fits, 11_000, 10_000)

    assert check_header(fits, 50) == (10_000, 10_000)
    with pytest.raises(TooLarge, match="progressive JPEG takes 660 MB"):
        check_header(too_large, 50)


def test_nothing_is_read_beyond_the_largest_cameras() -> None:
    with pytest.raises(TooLarge, match="more than 500 megapixels"):
        check_header(with_size(encode(large(), "JPEG"), 30_000, 20_000), 10_000)


def with_scans(count: int) -> bytes:
    """Return a progressive JPEG whose last scan, one bit of each coefficient, is repeated."""
    jpeg = encode(large(size=(2000, 2000)), "JPEG", progressive=True)
    last = jpeg.rindex(b"\xff\xda")
    return jpeg[:last] + jpeg[last:-2] * count + jpeg[-2:]


@pytest.mark.parametrize("limit", [50, 1], ids=["within-the-limit", "reduced"])
def test_a_jpeg_with_very_many_scans_is_refused_at_once(limit: float) -> None:
    data = with_scans(90_000)
    check_header(data, limit)
    for read in (decode_rgb, for_ollama):
        started = time.process_time()
        with pytest.raises(TooLarge, match=f"more than {MAX_SCANS} scans"):
            read(data, limit)
        assert time.process_time() - started < 2


def test_a_jpeg_with_many_scans_is_decoded() -> None:
    assert decode_rgb(with_scans(40), 50).size == (2000, 2000)


def test_scans_of_thumbnails_and_of_what_follows_the_image_do_not_count() -> None:
    jpeg = encode(quadrants(), "JPEG")
    thumbnails = with_segment(jpeg, 0xE3, b"\xff\xda" * 1000)
    assert decode_rgb(thumbnails + b"\xff\xda\0\2" * 1000).size == (96, 64)


MEASURE = """
import resource, sys
from shared.images import check_header, decode_rgb
data = open(sys.argv[1], "rb").read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
check_header(data, 50)
image = decode_rgb(data, 50)
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(image.width, image.height, grown * 1024 // 10**6)
"""


def decoded_in_another_process(path: Path) -> tuple[tuple[int, int], int]:
    """Return the size to which a file is decoded, and by how many MB the process grew."""
    argv = [sys.executable, "-c", MEASURE, str(path)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, check=True, text=True)
    width, height, grown_mb = map(int, done.stdout.split())
    return (width, height), grown_mb


@pytest.mark.parametrize(
    ("size", "options", "most_mb"),
    [
        pytest.param((9504, 6336), {}, 40, id="60-megapixels"),
        pytest.param((9504, 6336), {"progressive": True}, 220, id="60-progressive"),
        pytest.param((11648, 8736), {}, 40, id="100", marks=pytest.mark.slow),
        pytest.param(
            (11648, 8736), {"progressive": True}, 340, id="100-progressive", marks=pytest.mark.slow
        ),
        pytest.param((16320, 12240), {}, 40, id="200", marks=pytest.mark.slow),
        pytest.param(
            (16320, 12240),
            {"progressive": True},
            MAX_DECODER_MB,
            id="200-progressive",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_memory_is_bounded(
    tmp_path: Path, size: tuple[int, int], options: dict[str, Any], most_mb: int
) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", size, COLOURS[0]).save(buffer, "JPEG", **options)
    path = tmp_path / "large.jpg"
    path.write_bytes(buffer.getvalue())

    decoded, grown_mb = decoded_in_another_process(path)

    assert min(decoded) >= 1024
    assert grown_mb < most_mb
