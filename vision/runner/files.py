"""Photos in files and folders, as items of a run."""

import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from vision.runner.work import Unreadable

PHOTOS = frozenset({
    ".avif", ".bmp", ".dds", ".gif", ".heic", ".heif", ".hif", ".ico", ".j2k", ".jfif", ".jp2",
    ".jpe", ".jpeg", ".jpg", ".pcx", ".pgm", ".png", ".pnm", ".ppm", ".psd", ".qoi", ".sgi",
    ".tga", ".tif", ".tiff", ".webp",
})  # fmt: skip
"""Endings of what the service reads: docs/http-api.md, "Requests"."""
SKIPPED = frozenset({"@eadir", "lost+found", "#recycle", "__macosx"})
"""Folders in which NAS and systems keep thumbnails and deleted files; so are hidden ones."""


_ESCAPE = re.compile(r"\\x([89a-f][0-9a-f])")
"""A byte that is no text, in the name of a photo."""


class NoSuchFile(Exception):
    """What is named on the command line is not there, or cannot be read; the message says so."""


@dataclass(frozen=True)
class Photo:
    """A photo in a file."""

    path: Path
    """Absolute, but not resolved: a link is a photo of its own."""

    @classmethod
    def named(cls, name: str) -> Self:
        """Return the photo that has a name."""
        path = Path(name)
        if os.path.lexists(path):
            return cls(path)
        raw = _ESCAPE.sub(lambda found: os.fsdecode(bytes.fromhex(found[1])), name)
        return cls(Path(raw))

    @property
    def name(self) -> str:
        """The path as text; bytes that are no text are written as escapes."""
        return os.fsencode(self.path).decode(errors="backslashreplace")

    @property
    def shown(self) -> str:
        """The same."""
        return self.name

    @property
    def is_gone(self) -> bool:
        """Whether nothing has this name any more; what may not be looked at is not gone."""
        try:
            self.path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:
            pass
        return False

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


@dataclass(frozen=True)
class ClosedFolder(Photo):
    """A folder whose photos are not known, since it cannot be read."""

    reason: str

    def read(self) -> bytes:
        """Never return.

        Raises:
            Unreadable: always.
        """
        raise Unreadable(f"The folder cannot be read: {self.reason}.")

    def stamp(self) -> tuple[int, int]:
        """Never return.

        Raises:
            Unreadable: always.
        """
        raise Unreadable(f"The folder cannot be read: {self.reason}.")


def find_photos(paths: Iterable[Path]) -> list[Photo]:
    """Return the photos in files and folders, each once, in order.

    Of a folder, those with an ending of photos, and folders in it that cannot be read; a file that
    is named is taken whatever it is called.

    Raises:
        NoSuchFile: one of the paths does not exist, or cannot be looked at.
    """
    found: dict[Path, Photo] = {}
    for path in paths:
        absolute = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links
        try:
            mode = absolute.stat().st_mode
        except FileNotFoundError as err:
            raise NoSuchFile(f"There is no file or folder {path}.") from err
        except OSError as err:
            raise NoSuchFile(f"{path} cannot be read: {err.strerror}.") from err
        photos = _walk(absolute) if stat.S_ISDIR(mode) else [Photo(absolute)]
        found |= {photo.path: photo for photo in photos}
    return list(found.values())


def _walk(folder: Path) -> Iterator[Photo]:
    closed: list[ClosedFolder] = []

    def note(err: OSError) -> None:
        closed.append(ClosedFolder(Path(os.fsdecode(err.filename)), err.strerror or str(err)))

    for parent, folders, files in os.walk(folder, onerror=note):
        folders[:] = sorted(
            name for name in folders if name[0] != "." and name.lower() not in SKIPPED
        )
        for name in sorted(files):
            if name[0] != "." and Path(name).suffix.lower() in PHOTOS:
                yield Photo(Path(parent, name))
    yield from closed
