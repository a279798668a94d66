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


def jpc(markers: bytes) -> bytes:
    data = encode(PICTURE, "JPEG2000", no_jp2=True)
    start = 4 + int.from_bytes(data[4:6])  # after the size of the picture
    return data[:start] + markers + data[start:]


def in_header_of_jp2(boxes: bytes) -> bytes:
    data = encode(PICTURE, "JPEG2000")
    start = data.index(b"jp2h") - 4
    end = start + int.from_bytes(data[start : start + 4])
    size = struct.pack(">I", end - start + len(boxes))
    return data[:start] + size + data[start + 4 : end] + boxes + data[end:]


def tiff(strips: int, *, big: bool = False, rows: int = PICTURE.height) -> bytes:
    """A picture of black rows, one in each strip."""
    width, offsets = 8, struct.pack("<I", 16) * strips
    start = 16 + width * 3
    tags = ((256, 1, width), (257, 1, rows), (258, 1, 8), (259, 1, 1), (262, 1, 2), (277, 1, 3))
    strip = ((273, strips, start), (278, 1, 1), (279, 1, width * 3))
    entry, count = ("<HHQQ", "<Q") if big else ("<HHII", "<H")
    entries = [struct.pack(entry, tag, 4, numbers, value) for tag, numbers, value in tags + strip]
    directory = struct.pack(count, len(entries)) + b"".join(entries) + bytes(8)
    head, words = ("<2sHHHQ", (43, 8, 0)) if big else ("<2sHI8x", (42,))
    return (
        struct.pack(head, b"II", *words, start + len(offsets))
        + bytes(width * 3)
        + offsets
        + directory
    )


def psd(resources: bytes) -> bytes:
    head = b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHHI", 3, 8, 8, 8, 3, 0)
    pixels = bytes(2 + 3 * 8 * 8)
    return head + struct.pack(">I", len(resources)) + resources + bytes(4) + pixels


def resource(name: bytes, content: bytes) -> bytes:
    """An image resource of a PSD, of which name and content are padded."""
    padded = bytes([len(name)]) + name + bytes((len(name) + 1) % 2)
    size = struct.pack(">I", len(content))
    return b"8BIM\4\0" + padded + size + content + bytes(len(content) % 2)


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
    "jp2 boxes in its header": in_header_of_jp2(struct.pack(">I4s", 8, b"free") * MANY),
    "jpeg 2000 markers": jpc(b"\xff\x55\0\2" * MANY),
    "tiff strips": tiff(MANY),
    "big tiff strips": tiff(MANY, big=True),
    "psd resources": psd(resource(b"", b"") * MANY),
    "pnm white space": b"P6" + b" " * 4 * MANY + b"8 8 255\n" + bytes(192),
    "pnm comment": b"P6 8 8 2#" + b"5" * 4 * MANY + b"\n55 " + bytes(192),
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
        jp2(b"".join(struct.pack(">I4s", 8 * deep, b"res ") for deep in range(5000, 0, -1))),
        encode(PICTURE, "JPEG2000") + b"\0" * 50_000,
        encode(PICTURE, "PPM").replace(b"\n", b"\n#" + b"x" * 9000 + b"\n", 1) + bytes(50_000),
    ],
    ids=["png", "jpeg", "gif", "jp2", "jp2 nested", "jp2 and zeros", "pnm"],
)
def test_metadata_as_long_as_it_gets_is_no_reason(data: bytes) -> None:
    assert check_header(data, 50) == PICTURE.size
    assert decode_rgb(data).size == PICTURE.size


@pytest.mark.parametrize("big", [False, True])
def test_a_tiff_of_a_strip_for_each_row_is_read(*, big: bool) -> None:
    assert decode_rgb(tiff(18_000, big=big, rows=18_000)).size == (8, 18_000)


def test_a_psd_of_many_resources_is_read() -> None:
    data = psd((resource(b"a", b"b") + resource(b"", bytes(4))) * 5000)
    assert decode_rgb(data).size == (8, 8)


def test_a_tga_whose_name_is_as_long_as_a_pnm_begins_is_none() -> None:
    data = encode(PICTURE, "TGA", id_section=b"x" * ord("P"))
    assert decode_rgb(data + bytes(50_000)).size == PICTURE.size


def test_a_large_png_in_small_chunks_is_read() -> None:
    noise = io.BytesIO()
    Image.effect_noise((1200, 1200), 90).save(noise, "PNG", compress_level=0)
    whole = noise.getvalue()
    start, pixels = whole.index(b"IDAT") - 4, zlib.compress(bytes(1201 * 1200), 0)
    chunks = [png_chunk(b"IDAT", pixels[at : at + 100]) for at in range(0, len(pixels), 100)]
    small = whole[:start] + b"".join(chunks) + png_chunk(b"IEND", b"")
    assert decode_rgb(small).size == (1200, 1200)
