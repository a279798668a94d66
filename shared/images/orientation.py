"""Which way up a picture is."""

from PIL import ExifTags, Image

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
SWAPPING = frozenset(_TRANSPOSITIONS[orientation] for orientation in (5, 6, 7, 8))
"""The transpositions that exchange width and height."""


def transposition_of(image: Image.Image) -> Image.Transpose | None:
    """Return the transposition that makes an image upright; ``None`` if it is.

    ``ImageOps.exif_transpose`` also rewrites EXIF, and may fail:
    https://github.com/python-pillow/Pillow/issues/8605.
    """
    try:
        return _TRANSPOSITIONS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # noqa: BLE001 - an image with damaged EXIF is still served
        return None
