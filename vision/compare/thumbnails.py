"""Small copies of photos for the report."""

import io
import os
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

from vision.runner.files import Photo
from vision.runner.work import Item, Unreadable

SIDE = 512
"""Of the longer side, in pixels: enough to judge a caption by."""
QUALITY = 70

with suppress(ImportError):  # it comes with the service, and not with the client alone
    from pillow_heif import register_heif_opener

    register_heif_opener()


class NoThumbnail(Exception):
    """A photo cannot be shown; the message is a sentence for the report."""


@dataclass(frozen=True)
class Shown:
    """A photo as the report shows it."""

    name: str
    picture: bytes | None
    """A WebP; ``None``: it cannot be shown."""
    reason: str = ""
    """Why not, as a sentence."""


def shown(photos: Sequence[Photo], paths: Sequence[Path]) -> list[Shown]:
    """Return photos as the report shows them, named from the folder that is compared.

    Args:
        photos: those that are compared.
        paths: the folders and files in which they were found.
    """
    folders = [path if path.is_dir() else path.parent for path in paths]
    base = os.path.commonpath([folder.absolute() for folder in folders])
    return [_shown(photo, Photo(Path(os.path.relpath(photo.path, base))).shown) for photo in photos]


def _shown(photo: Item, name: str) -> Shown:
    try:
        return Shown(name, thumbnail(photo))
    except NoThumbnail as err:
        return Shown(name, None, str(err))


def thumbnail(photo: Item) -> bytes:
    """Return a photo as a small WebP, upright, without anything that the camera has noted.

    Raises:
        NoThumbnail: it cannot be read, or not on this machine.
    """
    try:
        content = photo.read()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damaged metadata, and of many pixels
            with Image.open(io.BytesIO(content)) as opened:
                opened.draft("RGB", (2 * SIDE, 2 * SIDE))
                upright = ImageOps.exif_transpose(opened)
                profile = opened.info.get("icc_profile") if opened.mode == "RGB" else None
    except Unreadable as err:
        raise NoThumbnail(str(err)) from err
    except Exception as err:  # Pillow's readers raise whatever they stumble over
        raise NoThumbnail("This format cannot be shown here.") from err
    small = upright.convert("RGB")
    small.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=QUALITY, icc_profile=profile or b"")
    return buffer.getvalue()
