"""The pictures of the library: one coloured shape each, drawn when somebody looks at it."""

import io
from functools import lru_cache

from PIL import Image, ImageOps

from tools.tiny_checkpoints import shapes

FIT = {
    "fit_720": (720, 720), "fit_1280": (1280, 1024), "fit_1600": (1600, 900),
    "fit_1920": (1920, 1200), "fit_2048": (2048, 2048), "fit_2560": (2560, 1600),
    "fit_3840": (3840, 2400), "fit_4096": (4096, 4096), "fit_7680": (7680, 4320),
}  # fmt: skip
TILES = {
    "colors": (3, 0.5), "tile_50": (50, 0.5), "tile_100": (100, 0.5), "tile_224": (224, 0.5),
    "left_224": (224, 0.0), "right_224": (224, 1.0), "tile_500": (500, 0.5),
    "tile_1080": (1080, 0.5),
}  # fmt: skip
"""The side of the square, and from where it is cut: 0 is left and top, 1 right and bottom."""
SIZES = {*FIT, *TILES}
ICON = b'<svg xmlns="http://www.w3.org/2000/svg" width="24" height="24" viewBox="0 0 24 24"></svg>'
"""What is sent in place of a picture."""


def shown(number: int) -> str:
    """Return the right label of a picture, such as ``red circle``; all 32 come in turns."""
    return shapes.LABELS[number % len(shapes.LABELS)]


def caption(number: int) -> str:
    """Return the right caption of a picture, such as ``an orange cross``."""
    return shapes.caption_of(shown(number))


@lru_cache(maxsize=2048)
def thumbnail(number: int, side: int, size: str) -> bytes:
    """Return a picture as JPEG, in one of the ``SIZES``; it is never enlarged to fit."""
    colour, shape = shown(number).split()
    seed = shapes.HELD_OUT_SEED + number
    image = shapes.draw(seed, colour=colour, shape=shape, size=side).image
    if size in FIT:
        image.thumbnail(FIT[size], Image.Resampling.LANCZOS)
    else:
        tile, place = TILES[size]
        image = ImageOps.fit(image, (tile, tile), centering=(place, place))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return file.getvalue()
