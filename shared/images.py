"""Images as plain functions: what the header says, and any image as upright RGB."""

import io
import warnings

import pillow_heif
from PIL import ExifTags, Image, UnidentifiedImageError

from shared.errors import TooLarge, UndecodableImage
from shared.units import MEGA

# Raster formats decoded inside Pillow. Left out: EPS and others that start
# external programs, and ICO, which Pillow decodes when it should only read the header.
FORMATS = (
    "JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "JPEG2000", "HEIF", "AVIF",
    "PPM", "TGA", "QOI",
)  # fmt: skip
JPEG_QUALITY = 92
_BROKEN = (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, RuntimeError)
"""What Pillow's decoders raise on damaged files, beside errors of their own type."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture upright, by EXIF orientation."""

pillow_heif.register_heif_opener(thumbnails=False)
# Our own limit is checked on the size in the header; Pillow's error for far larger ones stays.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def check_header(data: bytes, max_megapixels: float) -> tuple[int, int]:
    """Read an image's size in pixels (width, height) from its header, without decoding it.

    Raises:
        UndecodableImage: no image that we can read.
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
    """Decode any image to an upright 8-bit RGB one; the first frame of several.

    EXIF orientation is applied (damaged EXIF is ignored), transparency is laid on white, 16-bit
    greys are scaled to 8 bits.

    Raises:
        UndecodableImage: truncated or damaged.
    """
    with _open(data) as image:
        try:
            image.load()
            return _to_rgb(_upright(image))
        except Exception as err:  # Pillow's decoders document no list of what they raise
            raise UndecodableImage(f"The image cannot be decoded: {_reason(err)}.") from err


def for_ollama(data: bytes) -> bytes:
    """Return the image as Ollama can read it: upright RGB JPEG or PNG, untouched where it is one.

    Ollama knows few formats, and nothing of EXIF orientation.

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
    """Apply the EXIF orientation; ``ImageOps.exif_transpose`` also rewrites EXIF, and may fail.

    As in https://github.com/python-pillow/Pillow/issues/8605
    """
    try:
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # noqa: BLE001 - damaged EXIF costs no picture
        turn = None
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode == "I":
        # Pillow clips instead of scaling when it narrows 16 bits to 8:
        # https://github.com/python-pillow/Pillow/issues/3159
        image = image.convert("I").point(lambda value: value * (255 / 65535)).convert("L")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _reason(err: BaseException) -> str:
    """Return Pillow's words on one line; they name the format's fault and hold no data."""
    return " ".join(str(err).split())[:200] or type(err).__name__
