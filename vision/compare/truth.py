"""What a person has said of labels in PhotoPrism: those they gave or took away."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vision.compare.answers import Said, same
from vision.photoprism.client import PhotoPrism
from vision.photoprism.photo import REJECTED, Photo
from vision.photoprism.rules import MANUAL
from vision.runner.work import Item, Unreadable

HASHES = 20
"""Hashes in one search; more would make too long an address."""
ENOUGH = 10
"""Labels of a contestant that must have been judged before their precision decides anything."""


@dataclass(frozen=True)
class Judged:
    """The labels of a photo that a person has judged, as they are compared."""

    right: frozenset[str]
    """Given or confirmed by a person."""
    wrong: frozenset[str]
    """Taken away by a person."""

    @classmethod
    def of(cls, photo: Photo) -> "Judged":
        """Read what was judged of a photo."""
        own = [label for label in photo.labels if label.label and label.source == MANUAL]
        names = {label.id: same(label.label.name) for label in own if label.label}
        wrong = frozenset(names[label.id] for label in own if label.uncertainty >= REJECTED)
        return cls(frozenset(names.values()) - wrong, wrong)


@dataclass(frozen=True)
class Precision:
    """How a contestant's labels compare with what a person has judged."""

    right: int = 0
    """Labels that the person gave, too."""
    wrong: int = 0
    """Labels that the person took away."""
    wanted: int = 0
    """Labels that the person gave, of all photos that were answered."""
    found: int = 0
    """Those of them that the contestant gives, or gives one below them."""

    @property
    def judged(self) -> int:
        """Labels of the contestant of which is known whether they are right."""
        return self.right + self.wrong

    @property
    def share(self) -> float | None:
        """Share of the judged labels that are right; ``None``: none was judged."""
        return self.right / self.judged if self.judged else None

    @property
    def recall(self) -> float | None:
        """Share of the person's labels that it finds; ``None``: there are none."""
        return self.found / self.wanted if self.wanted else None


def precision_of(said: Sequence[Said | None], judged: Sequence[Judged | None]) -> Precision:
    """Return the precision of answers about photos, of which a person has judged some."""
    right = wrong = wanted = found = 0
    for answer, truth in zip(said, judged, strict=True):
        if answer and truth:
            names = {same(name) for name in answer.names}
            right += len(names & truth.right)
            wrong += len(names & truth.wrong)
            wanted += len(truth.right)
            found += len(truth.right & (names | {same(name) for name in answer.categories}))
    return Precision(right, wrong, wanted, found)


def judgements(photoprism: PhotoPrism, photos: Sequence[Item]) -> dict[str, Judged]:
    """Return what was judged of photos, by their names; those that PhotoPrism lacks are left out.

    They are found by their content, wherever PhotoPrism has them.

    Raises:
        PhotoPrismError: PhotoPrism does not say.
    """
    names = dict(_hashes(photos))
    hashes, found = list(names), dict[str, Judged]()
    for begin in range(0, len(hashes), HASHES):
        for row in photoprism.photos(f"hash:{'|'.join(hashes[begin : begin + HASHES])}"):
            photo = photoprism.photo(row.uid)
            judged = Judged.of(photo)
            found |= {names[file.hash]: judged for file in photo.files if file.hash in names}
    return {name: judged for name, judged in found.items() if judged.right or judged.wrong}


def _hashes(photos: Sequence[Item]) -> Iterator[tuple[str, str]]:
    """Yield the SHA1 of each file that can be read, and its name."""
    for photo in photos:
        try:
            content = photo.read()
        except Unreadable:
            continue  # the report says so
        yield hashlib.sha1(content, usedforsecurity=False).hexdigest(), photo.name
