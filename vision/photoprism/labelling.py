"""Gives photos labels, and takes them off again, by what PhotoPrism's API has for that."""

from collections.abc import Iterable, Mapping

from vision.console import say
from vision.photoprism.client import PhotoPrism
from vision.photoprism.photo import Label, Photo
from vision.photoprism.rules import MANUAL, OURS, GivenLabel, LabelChanges, NewLabel

NOTE = (
    "This PhotoPrism takes labels that come through its API for a person's own, as versions of "
    "2026 do: their source is `manual`."
)


class LabelWriter:
    """Writes labels; threads may share it."""

    def __init__(self, photoprism: PhotoPrism) -> None:
        """Write into a PhotoPrism, which has not shown yet whether it takes sources from us."""
        self._photoprism, self._sets_sources = photoprism, True

    def write(
        self, photo: Photo, changes: LabelChanges, given: Mapping[str, GivenLabel]
    ) -> tuple[Photo, dict[str, GivenLabel]]:
        """Give a photo labels and take some off; return it then, and which labels are ours.

        Args:
            photo: as it is now.
            changes: what is to be done.
            given: the labels that are ours, by slug.

        Raises:
            PhotoPrismError: PhotoPrism does not do it.
        """
        kept = dict(given)
        for slug, new in changes.add.items():
            if photo.label(slug) is None:  # or PhotoPrism has found it in the caption meanwhile
                photo, label = self._add(photo, slug, new)
                if label:
                    sure = GivenLabel(uncertainty=label.uncertainty, is_sure=True)
                    kept |= dict.fromkeys({slug, *label.slugs}, sure)
        for label in changes.remove:
            photo = self._remove(photo, label)
            kept = {slug: old for slug, old in kept.items() if slug not in label.slugs}
        return photo, kept

    def _add(self, photo: Photo, slug: str, new: NewLabel) -> tuple[Photo, Label | None]:
        """Give a photo a label; return the photo then, and the label unless it is a person's."""
        before = {label.id for label in photo.labels}
        fields = {"Name": new.name, "Uncertainty": new.uncertainty, "Priority": new.priority}
        photo = self._photoprism.add_label(photo.uid, fields)
        ours = [
            label
            for label in photo.labels
            if label.id not in before and label.uncertainty == new.uncertainty
        ]
        named = [label for label in ours if slug in label.slugs]
        # PhotoPrism may find it by another slug than we do. A person may add others meanwhile.
        label = next(iter(named or (ours if len(ours) == 1 else ())), None)
        if label and self._sets_sources:
            photo = self._set_source(photo, label, OURS)
            label = _find(photo.labels, label.id)
            if label and label.source != OURS and self._sets_sources:
                self._sets_sources = False
                say(NOTE)
        return photo, label

    def _remove(self, photo: Photo, label: Label) -> Photo:
        """Take a label off so that it may come again: of another source, it would be rejected."""
        if label.source == OURS:
            photo = self._set_source(photo, label, MANUAL)
        now = _find(photo.labels, label.id)
        if now is None or (now.source, now.uncertainty) != (MANUAL, label.uncertainty):
            return photo
        return self._photoprism.remove_label(photo.uid, label.id)

    def _set_source(self, photo: Photo, label: Label, source: str) -> Photo:
        """Give a label a source, where PhotoPrism lets us."""
        return self._photoprism.change_label(photo.uid, label.id, {"LabelSrc": source})


def _find(labels: Iterable[Label], label_id: int) -> Label | None:
    return next((label for label in labels if label.id == label_id), None)
