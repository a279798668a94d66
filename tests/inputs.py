"""Images as models get them, prepared in the tests' own process."""

import io
import math
from typing import Any

from PIL import Image

from workers.model.family import VisionModel


def as_file(image: Image.Image) -> bytes:
    """Return an image as a PNG."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def prepared(model: VisionModel, image: Image.Image | bytes) -> Any:
    """Return the model's input for an image."""
    data = as_file(image) if isinstance(image, Image.Image) else image
    return model.prepare(model.preparation.run(data, math.inf))
