"""The sink that writes into PhotoPrism."""

from collections.abc import Mapping
from typing import Any

from vision.photoprism.connection import Gone, PhotoPrismError, Refused, Unavailable
from vision.photoprism.labelling import LabelWriter
from vision.photoprism.library import Library, LibraryPhoto
from vision.photoprism.photo import Photo
from vision.photoprism.rules import (
    OURS,
    GivenLabel,
    LabelChanges,
    NewLabel,
    Provenance,
    caption_in,
    confirmed,
    is_unsafe,
    label_changes,
    labels_in,
    may_caption,
    may_hide,
    may_label,
)
from vision.runner.sinks import NotWritten, SinkError
from vision.runner.work import Outcome

WRITERS = 4
"""Photos that are changed at once: PhotoPrism counts its library anew after each change."""


class Backfill:
    """Writes answers into the photos that they are about.

    PhotoPrism locks nothing: of two changes at the same time, the last one wins. So each photo is
    read just before it is changed, and the rules are applied to what it says then.
    """

    def __init__(self, library: Library) -> None:
        """Write into a library."""
        self._library = library
        self._photoprism, self._memory = library.photoprism, library.memory
        self._labels = LabelWriter(library.photoprism)

    @property
    def where(self) -> str:
        """The address."""
        return self._photoprism.url

    @property
    def writers(self) -> int:
        """Some: PhotoPrism takes its time."""
        return WRITERS

    def has(self, outcome: Outcome) -> bool:
        """Return whether the outcome was dealt with."""
        return self._memory.is_written(outcome)

    def write(self, outcome: Outcome) -> bool:
        """Write what the rules allow; return whether that was anything.

        Raises:
            NotWritten: it cannot be written into this photo.
            SinkError: PhotoPrism takes nothing from us.
        """
        if not isinstance(outcome.item, LibraryPhoto):
            raise NotWritten("It is not a photo of PhotoPrism.")
        while True:
            try:
                changed = self._change(outcome.item, outcome)
            except Unavailable:
                continue  # a person may have changed the photo while we waited
            except Gone:
                return False
            except Refused as err:
                raise SinkError(str(err)) from err
            except PhotoPrismError as err:
                raise NotWritten(str(err)) from err
            self._memory.mark_written(outcome)
            return changed

    def close(self) -> None:
        """End."""

    def _change(self, item: LibraryPhoto, outcome: Outcome) -> bool:
        """Change a photo; return whether anything was changed.

        Raises:
            NotWritten: the answers are about another picture than the photo now has.
            PhotoPrismError: PhotoPrism does not do it.
        """
        photo = self._photoprism.photo(item.row.uid)
        if photo.deleted_at and not item.row.deleted_at:
            raise Gone("A person has archived it meanwhile.")
        if photo.hash != item.row.hash:
            raise NotWritten(
                "Its picture has been replaced meanwhile; the next run will ask about it."
            )
        results = {task: answer.result for task, answer in outcome.answers.items()}
        change = _Change(self._library, photo, results, self._labels)
        return change.make()


class _Change:
    """What one outcome changes in one photo, from its state now."""

    def __init__(
        self, library: Library, photo: Photo, results: Mapping[str, Any], labels: LabelWriter
    ) -> None:
        self._library, self._photo, self._results, self._labels = library, photo, results, labels
        self._noted = library.memory.given(photo.uid)
        self._given = confirmed(self._noted, photo)

    def make(self) -> bool:
        """Make it; return whether there was anything to change.

        What is about to be written is noted before, so that after a kill it is known as ours.
        """
        caption, is_hidden, wanted = self._caption(), self._is_to_be_hidden(), self._wanted()
        fields, changes = self._fields(caption, is_hidden=is_hidden), self._label_changes(wanted)
        self._intend(fields, caption, changes.add)
        if fields:
            self._photo = self._library.photoprism.update(self._photo.uid, fields)
        if caption:
            self._know(captions=(self._photo.caption,))
        if is_hidden:
            self._know(private="done")
        if changes.add or changes.remove:
            now = self._label_changes(wanted)  # which PhotoPrism may have found in the caption
            self._photo, labels = self._labels.write(self._photo, now, self._given.labels)
            self._know(labels=labels)
        self._note(self._given)
        return bool(fields or changes.add or changes.remove)

    def _caption(self) -> str:
        """Return the new caption; empty: it stays."""
        text = caption_in(self._results.get("caption"))
        return text if may_caption(self._photo, self._given, self._library.overwrite) else ""

    def _is_to_be_hidden(self) -> bool:
        return is_unsafe(self._results.get("nsfw")) and may_hide(self._photo, self._given)

    def _wanted(self) -> Mapping[str, NewLabel] | None:
        """Return the labels that the photo is to have; ``None``: they stay."""
        if "labels" not in self._results:
            return None
        if not may_label(self._photo, self._given, self._library.overwrite):
            return None
        return labels_in(self._results["labels"])

    def _label_changes(self, wanted: Mapping[str, NewLabel] | None) -> LabelChanges:
        if wanted is None:
            return LabelChanges({}, [])
        return label_changes(self._photo, wanted, self._given, self._library.overwrite)

    def _fields(self, caption: str, *, is_hidden: bool) -> dict[str, Any]:
        """Return the fields that differ, by PhotoPrism's names."""
        name, fields = self._photo.caption_field, dict[str, Any]()
        if caption and (caption, OURS) != (self._photo.caption, self._photo.caption_source):
            # Without a source, PhotoPrism may delete a caption when it makes up a title.
            fields |= {name: caption, f"{name}Src": OURS}
        if is_hidden:
            fields["Private"] = True
        return fields

    def _intend(
        self, fields: Mapping[str, Any], caption: str, labels: Mapping[str, NewLabel]
    ) -> None:
        """Note what may be in the photo if we are killed now."""
        new = {slug: GivenLabel(uncertainty=label.uncertainty) for slug, label in labels.items()}
        intended = self._given.model_copy(update={"labels": {**self._given.labels, **new}})
        if caption:
            old = [text for text in self._given.captions if text == self._photo.caption]
            intended = intended.model_copy(update={"captions": (*old, caption)})
        if "Private" in fields:
            intended = intended.model_copy(update={"private": "intended"})
        if fields or labels:
            self._note(intended)

    def _know(self, **fields: object) -> None:
        self._given = self._given.model_copy(update=fields)

    def _note(self, given: Provenance) -> None:
        if given != self._noted:
            self._library.memory.note(self._photo.uid, given)
            self._noted = given
