"""Very long images, which must not become huge when their shorter side is enlarged."""

from PIL import Image

LONGEST = 16
"""Times the shorter side."""


def centre_of_strip(image: Image.Image) -> Image.Image:
    """Return the middle of a very long image, for models that look at the central square alone.

    10 x 1,000,000 pixels, resized to a shorter side of 224, would take 15 GB.
    """
    width, height = (min(side, LONGEST * min(image.size)) for side in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))
