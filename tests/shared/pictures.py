"""Encoded pictures, made by Pillow's own encoders in the formats that clients send."""

import io
import struct
import zlib
from typing import Any

from PIL import Image

RED, GREEN, BLUE, YELLOW = (200, 30, 60), (20, 160, 40), (30, 50, 200), (220, 210, 40)
WHITE = (255, 255, 255)
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "JPEG2000", "HEIF", "AVIF", "PPM", "TGA")


def encode(image: Image.Image, image_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def plain(mode: str, colour: Any, side: int = 32) -> Image.Image:
    return Image.new(mode, (side, side), colour)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def one_bit_png(width: int, height: int) -> bytes:
    """Return a black and white PNG with a valid header, and without most of its pixels."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    pixels = png_chunk(b"IDAT", zlib.compress(bytes(64)))
    return b"\x89PNG\r\n\x1a\n" + header + pixels + png_chunk(b"IEND", b"")
