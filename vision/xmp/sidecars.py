"""The sink that writes sidecars."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vision.runner.files import Photo
from vision.runner.journal import Journal
from vision.runner.sinks import NotWritten
from vision.runner.work import Outcome
from vision.xmp.exiftool import ExifTool, ExifToolError
from vision.xmp.merging import READ, merged

SINK = "xmp"
"""Its name in the journal."""
ENDING = ".xmp"


class Sidecars:
    """Writes what is known of a photo into a sidecar beside it."""

    def __init__(self, journal: Journal, exiftool: ExifTool) -> None:
        """Write with a running ExifTool; which sidecars are written, the journal knows."""
        self._journal, self._exiftool = journal, exiftool

    @property
    def where(self) -> str:
        """Beside the photos."""
        return "sidecars"

    @property
    def writers(self) -> int:
        """One: ExifTool does one file after the other."""
        return 1

    def has(self, outcome: Outcome) -> bool:
        """Return whether the sidecar was written and is there."""
        return self._journal.is_written(SINK, outcome.id) and sidecar_of(_path(outcome)).exists()

    def write(self, outcome: Outcome) -> bool:
        """Write a sidecar, or into the one that is there.

        Raises:
            NotWritten: it cannot be written.
        """
        photo = _path(outcome)
        results = {task: answer.result for task, answer in outcome.answers.items()}
        models = dict.fromkeys(f"{a.model}:{a.version}" for a in outcome.answers.values())
        try:
            sidecar = sidecar_of(photo)
            of_photo = self._read(photo)
            of_sidecar = self._read(sidecar) if sidecar.exists() else {}
            self._exiftool.write(merged(results, list(models), of_sidecar, of_photo), sidecar)
            _sync(sidecar)
        except (ExifToolError, OSError) as err:
            raise NotWritten(f"The sidecar cannot be written: {err}") from err
        self._journal.mark_written(SINK, outcome.id)
        return True

    def close(self) -> None:
        """End ExifTool."""
        self._exiftool.close()

    def _read(self, path: Path) -> Mapping[str, Any]:
        (fields,) = self._exiftool.read(READ, [path])
        return fields


def sidecar_of(photo: Path) -> Path:
    """Return the sidecar of a photo: the one there is, or ``photo.jpg.xmp``.

    ``photo.xmp`` is that of ``photo.jpg`` only if there is no other file of this name, such as
    ``photo.raw``, whose it may be.
    """
    full = photo.with_name(photo.name + ENDING)
    short = photo.with_suffix(ENDING)
    if full.exists() or not short.exists():
        return full
    others = {path for path in photo.parent.iterdir() if path.stem == photo.stem} - {photo, short}
    return full if others else short


def _sync(path: Path) -> None:
    """Have the disk take a file, which the journal may then call written."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _path(outcome: Outcome) -> Path:
    item = outcome.item
    if not isinstance(item, Photo):
        raise NotWritten("Sidecars are written beside files only.")
    return item.path
