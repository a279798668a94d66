"""Which photos of a folder are compared: few, and the same ones each time."""

import hashlib
from collections.abc import Sequence

from vision.runner.files import Photo


def sample(photos: Sequence[Photo], count: int) -> list[Photo]:
    """Return so many photos, as good as drawn at random.

    They are those whose names have the lowest hashes. So the same command has the same photos
    again, few others after some were added, and what was answered is not asked again.

    Args:
        photos: all of them.
        count: how many; all if there are not more.
    """
    return sorted(photos, key=lambda photo: hashlib.sha256(photo.name.encode()).digest())[:count]
