"""Cropping of very long images, which would become huge when their shorter side is enlarged."""

from PIL import Image

MAX_ASPECT_RATIO = 16
"""Of the longer to the shorter side."""


def centre_of_strip(image: Image.Image) -> Image.Image:
    """Return the middle of a very long image, for models that see only the central square.

    Resized to a shorter side of 224, an image of 10 x 1,000,000 pixels would take 15 GB.
    """
    width, height = (min(side, MAX_ASPECT_RATIO * min(image.size)) for side in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))
