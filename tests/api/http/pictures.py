"""Images for tests of requests."""

import base64
import io

from PIL import Image


def picture(shade: int = 0, side: int = 20) -> bytes:
    """Return a PNG; its base64 contains ``+`` and ``/`` and needs padding."""
    buffer = io.BytesIO()
    Image.new("L", (side, side), shade).save(buffer, "PNG")
    # Decoders ignore bytes after the end.
    return buffer.getvalue() + bytes(-buffer.tell() % 3) + b"\xfb\xef\xbe\xff\xff\xff\x00"


PNG = picture()
BASE64 = base64.b64encode(PNG).decode()
