"""The photos of a PhotoPrism as items of a run."""

from collections.abc import Sequence
from dataclasses import dataclass

from vision.photoprism.client import PhotoPrism
from vision.photoprism.connection import Gone, PhotoPrismError, Refused
from vision.photoprism.memory import Memory
from vision.photoprism.photo import Row
from vision.photoprism.rules import Overwrite, open_tasks
from vision.runner.asking import GaveUp
from vision.runner.work import Unreadable


@dataclass(frozen=True)
class Library:
    """A PhotoPrism, what earlier runs have written into it, and what this one may."""

    photoprism: PhotoPrism
    memory: Memory
    overwrite: Overwrite

    def photos(self, query: str) -> "list[LibraryPhoto]":
        """Return the photos that match a query.

        Raises:
            PhotoPrismError: PhotoPrism does not say.
        """
        return [LibraryPhoto(row, self) for row in self.photoprism.photos(query)]


@dataclass(frozen=True)
class LibraryPhoto:
    """A photo in PhotoPrism, whatever it is: of a video, its cover."""

    row: Row
    library: Library

    @property
    def name(self) -> str:
        """Its UID, which stays when it is renamed or moved."""
        return f"photoprism:{self.row.uid}"

    @property
    def shown(self) -> str:
        """Its file, and the UID, by which PhotoPrism's search finds it."""
        return f"{self.row.file_name or self.row.title} (uid:{self.row.uid})"

    def open_tasks(self, tasks: Sequence[str]) -> Sequence[str]:
        """Return those of the tasks whose answer may be written now; none, if it is gone.

        Raises:
            Unreadable: PhotoPrism cannot tell.
            GaveUp: PhotoPrism does nothing for us.
        """
        try:
            photo = self.library.photoprism.photo(self.row.uid)
        except Gone:
            return ()
        except Refused as err:
            raise GaveUp(str(err)) from err
        except PhotoPrismError as err:
            raise Unreadable(str(err)) from err
        given = self.library.memory.given(self.row.uid)
        return open_tasks(photo, tasks, given, self.library.overwrite)

    def read(self) -> bytes:
        """Return its thumbnail.

        Raises:
            Unreadable: there is none.
            GaveUp: PhotoPrism does nothing for us.
        """
        try:
            return self.library.photoprism.thumbnail(self.row.hash)
        except Refused as err:
            raise GaveUp(str(err)) from err
        except PhotoPrismError as err:
            raise Unreadable(str(err)) from err

    def stamp(self) -> tuple[int, int]:
        """Return numbers that change with the file: two parts of its hash.

        Raises:
            Unreadable: PhotoPrism does not say.
        """
        try:
            return int(self.row.hash[:15], 16), int(self.row.hash[15:30], 16)
        except ValueError as err:
            raise Unreadable("PhotoPrism does not say which file the photo has.") from err
