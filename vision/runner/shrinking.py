"""Large photos made smaller before they go over a network: models see few of their pixels."""

import io
import warnings

from PIL import Image

LARGE_BYTES = 1 << 20
"""Files that are smaller go as they are."""
EDGE = 2048
"""Pixels of the longest side: four megapixels, six times what chat models see by default."""
QUALITY = 90
ORIENTATION = 0x0112
"""The Exif tag that says how a photo is turned."""
ORIENTATIONS = range(1, 9)
"""What it may say."""

# Cameras have long had more pixels than Pillow warns of.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def shrunk(content: bytes) -> bytes:
    """Return a photo with fewer pixels, if it is a large JPEG; anything else as it is.

    What cannot be read here is for the service to judge, which reads more than Pillow alone.
    """
    if len(content) <= LARGE_BYTES:
        return content
    try:
        with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
            return _smaller(image) or content
    except Exception:  # noqa: BLE001 - Pillow's readers raise whatever they stumble over
        return content


def _smaller(image: Image.Image) -> bytes | None:
    if max(image.size) <= EDGE or image.mode not in ("RGB", "L"):
        return None
    exif = Image.Exif()
    turned = image.getexif().get(ORIENTATION, 0)
    if turned in ORIENTATIONS:  # damaged metadata may have anything there, such as a text
        exif[ORIENTATION] = int(turned)
    image.thumbnail((EDGE, EDGE), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(
        file, "JPEG", quality=QUALITY, exif=exif, icc_profile=image.info.get("icc_profile") or b""
    )
    return file.getvalue()
