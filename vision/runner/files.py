"""Photos in files and folders, as items of a run."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vision.runner.work import Unreadable

PHOTOS = frozenset({
    ".avif", ".bmp", ".dds", ".gif", ".heic", ".heif", ".hif", ".ico", ".j2k", ".jfif", ".jp2",
    ".jpe", ".jpeg", ".jpg", ".pcx", ".pgm", ".png", ".pnm", ".ppm", ".psd", ".qoi", ".sgi",
    ".tga", ".tif", ".tiff", ".webp",
})  # fmt: skip
"""Endings of what the service reads: docs/http-api.md, "Requests"."""
SKIPPED = frozenset({"@eadir", "lost+found", "#recycle", "__macosx"})
"""Folders in which NAS and systems keep thumbnails and deleted files; so are hidden ones."""


class NoSuchFile(Exception):
    """What is named on the command line is not there; the message says so."""


@dataclass(frozen=True)
class Photo:
    """A photo in a file."""

    path: Path
    """Absolute, but not resolved: a link is a photo of its own."""

    @property
    def name(self) -> str:
        """The path as text; bytes that are no text are written as escapes."""
        return os.fsencode(self.path).decode(errors="backslashreplace")

    @property
    def shown(self) -> str:
        """The same."""
        return self.name

    def open_tasks(self, tasks: Sequence[str]) -> Sequence[str]:
        """Return all: each answer can be written."""
        return tasks

    def read(self) -> bytes:
        """Return the file.

        Raises:
            Unreadable: it cannot be read.
        """
        try:
            return self.path.read_bytes()
        except OSError as err:
            raise Unreadable(f"The file cannot be read: {err.strerror}.") from err

    def stamp(self) -> tuple[int, int]:
        """Return size, and time of the last change in nanoseconds.

        Raises:
            Unreadable: the file is not there.
        """
        try:
            found = self.path.stat()
        except OSError as err:
            raise Unreadable(f"The file cannot be read: {err.strerror}.") from err
        return found.st_size, found.st_mtime_ns


def find_photos(paths: Iterable[Path]) -> list[Photo]:
    """Return the photos in files and folders, each once, in order.

    Of a folder, those with an ending of photos; a file that is named is taken whatever it is
    called.

    Raises:
        NoSuchFile: one of the paths does not exist.
    """
    found: dict[Path, None] = {}
    for path in paths:
        absolute = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links
        if absolute.is_dir():
            found |= dict.fromkeys(_walk(absolute))
        elif absolute.exists():
            found[absolute] = None
        else:
            raise NoSuchFile(f"There is no file or folder {path}.")
    return [Photo(path) for path in found]


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(
            name for name in folders if name[0] != "." and name.lower() not in SKIPPED
        )
        for name in sorted(files):
            if name[0] != "." and Path(name).suffix.lower() in PHOTOS:
                yield Path(parent, name)
