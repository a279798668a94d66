"""Files with so many parts that reading their headers would take long are refused at once."""

import io
import struct
import time
import zlib

import pytest
from PIL import Image

from shared.errors import TooLarge
from shared.images import check_header, decode_rgb
from shared.images.parts import MAX_PARTS
from tests.shared.images.files import encode, png_chunk, quadrants, with_chunk, with_segment

MANY = 2_000_000
PICTURE = quadrants()


def gif(extension: bytes) -> bytes:
    data = encode(PICTURE.convert("P"), "GIF")
    position = 13 + (3 << ((data[10] & 7) + 1))  # after the palette
    return data[:position] + extension + data[position:]


def jp2(boxes: bytes) -> bytes:
    data = encode(PICTURE, "JPEG2000")
    return data[:32] + boxes + data[32:]  # after the signature and the file type


def test_what_follows_a_png_is_not_counted() -> None:
    data = encode(PICTURE, "PNG") + bytes(12 * 2 * MAX_PARTS)
    check_header(data, 50)
    assert decode_rgb(data).size == PICTURE.size


HUGE = {
    "png text": with_chunk(encode(PICTURE, "PNG"), png_chunk(b"tEXt", b"a\0b") * MANY),
    "png empty data": with_chunk(encode(PICTURE, "PNG"), png_chunk(b"IDAT", b"") * MANY),
    "jpeg comments": b"\xff\xd8" + b"\xff\xfe\0\2" * MANY + encode(PICTURE, "JPEG")[2:],
    "jpeg fill": b"\xff\xd8" + b"\xff" * 4 * MANY + encode(PICTURE, "JPEG")[2:],
    "gif comments": gif(b"!\xfe\1a\0" * MANY),
    "gif blocks": gif(b"!\xfe" + b"\1a" * MANY + b"\0"),
    "jp2 boxes": jp2(struct.pack(">I4s", 8, b"free") * MANY),
}


@pytest.mark.parametrize("kind", HUGE)
def test_a_file_of_very_many_parts_is_refused_before_they_are_read(kind: str) -> None:
    for read in (check_header, decode_rgb):
        began = time.process_time()
        with pytest.raises(TooLarge, match=f"more than {MAX_PARTS} parts"):
            read(HUGE[kind], 50)
        assert time.process_time() - began < 0.5  # all of them took 2 to 4 s


@pytest.mark.parametrize(
    "data",
    [
        with_chunk(encode(PICTURE, "PNG"), png_chunk(b"tEXt", b"a\0" + b"b" * 99) * 5000),
        with_segment(encode(PICTURE, "JPEG"), 0xFE, b"x" * 60_000) + b"\xff" * 100_000,
        gif(b"!\xfe" + (b"\xff" + b"a" * 255) * 4000 + b"\0"),
        jp2(struct.pack(">I4s", 8, b"free") * 5000),
        encode(PICTURE, "JPEG2000") + b"\0" * 50_000,
    ],
    ids=["png", "jpeg", "gif", "jp2", "jp2 and zeros"],
)
def test_metadata_as_long_as_it_gets_is_no_reason(data: bytes) -> None:
    assert check_header(data, 50) == PICTURE.size
    assert decode_rgb(data).size == PICTURE.size


def test_a_large_png_in_small_chunks_is_read() -> None:
    noise = io.BytesIO()
    Image.effect_noise((1200, 1200), 90).save(noise, "PNG", compress_level=0)
    whole = noise.getvalue()
    start, pixels = whole.index(b"IDAT") - 4, zlib.compress(bytes(1201 * 1200), 0)
    chunks = [png_chunk(b"IDAT", pixels[at : at + 100]) for at in range(0, len(pixels), 100)]
    small = whole[:start] + b"".join(chunks) + png_chunk(b"IEND", b"")
    assert decode_rgb(small).size == (1200, 1200)
