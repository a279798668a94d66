"""Image functions: read the size from the header, and decode any image to upright RGB."""

import io
import warnings

import pillow_heif
from PIL import ExifTags, Image, UnidentifiedImageError

from shared.errors import TooLarge, UndecodableImage
from shared.units import MEGA

FORMATS = (
    "JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "JPEG2000", "HEIF", "AVIF",
    "PPM", "TGA", "QOI",
)  # fmt: skip
"""Raster formats that Pillow decodes itself. Not EPS and others, for which it starts external
programs, nor ICO, which it decodes when it should only read the header."""
JPEG_QUALITY = 92
_BROKEN = (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, RuntimeError)
"""What Pillow's decoders raise on damaged files, beside Pillow's own errors."""
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The transposition that makes an image upright, by EXIF orientation."""

pillow_heif.register_heif_opener(thumbnails=False)
# check_header has its own limit; Pillow's error for far larger images stays in force.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def check_header(data: bytes, max_megapixels: float) -> tuple[int, int]:
    """Read an image's size in pixels (width, height) from its header, without decoding it.

    Raises:
        UndecodableImage: no image in a supported format.
        TooLarge: more pixels than allowed.
    """
    with _open(data) as image:
        width, height = image.size
    if width * height > max_megapixels * MEGA:
        raise TooLarge(
            f"The image has {width} x {height} pixels; the limit is {max_megapixels:g} megapixels."
        )
    return width, height


def decode_rgb(data: bytes) -> Image.Image:
    """Decode any image, or the first frame of several, to upright 8-bit RGB.

    EXIF orientation is applied (damaged EXIF is ignored), transparent pixels are blended with
    white, and 16-bit greys are scaled to 8 bits.

    Raises:
        UndecodableImage: truncated or damaged.
    """
    with _open(data) as image:
        try:
            image.load()
            return _to_rgb(_upright(image))
        except Exception as err:  # Pillow does not document what its decoders raise
            raise UndecodableImage(f"The image cannot be decoded: {_reason(err)}.") from err


def for_ollama(data: bytes) -> bytes:
    """Return an upright RGB or grey JPEG or PNG: the bytes as they are if they are one.

    Ollama reads few formats, and ignores EXIF orientation.

    Raises:
        UndecodableImage: truncated or damaged.
    """
    with _open(data) as image:
        plain = image.format in ("JPEG", "PNG") and image.mode in ("RGB", "L")
        if plain and _upright(image) is image:
            try:
                image.load()
            except Exception as err:  # as in decode_rgb
                raise UndecodableImage(f"The image cannot be decoded: {_reason(err)}.") from err
            return data
    buffer = io.BytesIO()
    decode_rgb(data).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def _open(data: bytes) -> Image.Image:
    if not data:
        raise UndecodableImage("The image is empty.")
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as err:
        raise TooLarge("The image has more pixels than can be decoded safely.") from err
    except UnidentifiedImageError as err:
        raise UndecodableImage("The data is not an image in a format that is known here.") from err
    except _BROKEN as err:
        raise UndecodableImage(f"The image's header is damaged: {_reason(err)}.") from err


def _upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation. ``ImageOps.exif_transpose`` also rewrites EXIF, and may fail.

    See https://github.com/python-pillow/Pillow/issues/8605.
    """
    try:
        transposition = _TRANSPOSITIONS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # noqa: BLE001 - an image with damaged EXIF is still served
        transposition = None
    return image if transposition is None else image.transpose(transposition)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode == "I":
        # Pillow clips instead of scaling when it converts 16 bits to 8:
        # https://github.com/python-pillow/Pillow/issues/3159
        image = image.convert("I").point(lambda value: value * (255 / 65535)).convert("L")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _reason(err: BaseException) -> str:
    """Return Pillow's message on one line; it describes the fault and has no image data."""
    return " ".join(str(err).split())[:200] or type(err).__name__
