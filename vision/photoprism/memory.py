"""What runs have written into the photos of one PhotoPrism, in the journal."""

from vision.photoprism.rules import Provenance
from vision.runner.journal import Journal
from vision.runner.work import Outcome


class Memory:
    """The part of a journal that is about one PhotoPrism."""

    def __init__(self, journal: Journal, site: str) -> None:
        """Remember in a journal what is written at a site."""
        self._journal, self._sink = journal, f"photoprism {site}"

    def given(self, uid: str) -> Provenance:
        """Return what earlier runs wrote into a photo."""
        return Provenance.model_validate_json(self._journal.provenance(self._sink, uid) or "{}")

    def note(self, uid: str, given: Provenance) -> None:
        """Remember what is in a photo now, or will be; the disk has it when this returns."""
        self._journal.note_provenance(self._sink, uid, given.model_dump_json())

    def is_written(self, outcome: Outcome) -> bool:
        """Return whether an outcome was dealt with."""
        return self._journal.is_written(self._sink, outcome.id)

    def mark_written(self, outcome: Outcome) -> None:
        """Remember that an outcome was dealt with."""
        self._journal.mark_written(self._sink, outcome.id)
