"""A backfill without a service: what a run would write into the stand-in for PhotoPrism."""

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.photoprism_standin import PhotoPrismStandIn
from vision.photoprism.client import PhotoPrism
from vision.photoprism.connection import Connection
from vision.photoprism.library import Library, LibraryPhoto
from vision.photoprism.memory import Memory
from vision.photoprism.rules import Overwrite
from vision.photoprism.writing import Backfill
from vision.runner.journal import Journal
from vision.runner.work import Answer, Outcome

UNSAFE = [{"status": "unsafe", "score": 0.99}]
SAFE = [{"status": "safe", "score": 0.01}]


class Backfilling(NamedTuple):
    """A library, and the sink of a run."""

    library: Library
    sink: Backfill

    def photo(self, uid: str) -> LibraryPhoto:
        """Return a photo as the list has it now."""
        (photo,) = self.library.photos(f"uid:{uid}")
        return photo

    def write(self, photo: LibraryPhoto, **results: Any) -> bool:
        """Write answers, by their tasks, if they may be asked for."""
        usable = photo.open_tasks(list(results))
        return self.write_anyhow(photo, **{task: results[task] for task in usable})

    def write_anyhow(self, photo: LibraryPhoto, **results: Any) -> bool:
        """Write answers that were asked for a while ago."""
        answers = {task: Answer(result, "fake", "7", 0.1, 1.0) for task, result in results.items()}
        identity = hashlib.sha256(f"{photo.name} {results}".encode()).hexdigest()
        outcome = Outcome(photo, identity, answers)
        return bool(answers) and not self.sink.has(outcome) and self.sink.write(outcome)


@contextlib.contextmanager
def backfilling(
    prism: PhotoPrismStandIn,
    folder: Path,
    overwrite: Overwrite = Overwrite.OWN,
    *,
    token: str | None = None,
    patience_s: float = 60.0,
    sleep: Callable[[float], None] = lambda _: None,
) -> Iterator[Backfilling]:
    """Begin a run, whose journal is in a folder."""
    with contextlib.closing(Journal(folder / "journal.sqlite")) as journal:
        token = prism.token if token is None else token
        photoprism = PhotoPrism(Connection(prism.url, token, patience_s, sleep))
        library = Library(photoprism, Memory(journal, photoprism.site), overwrite)
        yield Backfilling(library, Backfill(library))


def caption(text: str) -> Mapping[str, str]:
    """Return the answer of a model that captions."""
    return {"text": text}


def labels(**confidences: float) -> list[Mapping[str, object]]:
    """Return the answer of a model that labels."""
    return [
        {"name": name.replace("_", " "), "confidence": value, "priority": 0, "source": "image"}
        for name, value in confidences.items()
    ]
