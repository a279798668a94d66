"""Cropping of very long images, which would become huge when their shorter side is enlarged."""

from PIL import Image

MAX_ASPECT_RATIO = 16
"""Of the longer to the shorter side."""


def centre_of_strip(image: Image.Image) -> Image.Image:
    """Return the middle of a very long image, for models that see only the central square.

    Resized to a shorter side of 224, an image of 10 x 1,000,000 pixels would take 15 GB. Both ends
    lose the same number of pixels, so that the centre stays where it is.
    """
    left, top = _cut_off(image.size)
    if not (left or top):
        return image
    return image.crop((left, top, image.width - left, image.height - top))


def size_of_centre(size: tuple[int, int]) -> tuple[int, int]:
    """Return what :func:`centre_of_strip` leaves of an image's (width, height)."""
    left, top = _cut_off(size)
    return size[0] - 2 * left, size[1] - 2 * top


def _cut_off(size: tuple[int, int]) -> tuple[int, int]:
    limit = MAX_ASPECT_RATIO * min(size)
    return max(size[0] - limit, 0) // 2, max(size[1] - limit, 0) // 2
