"""What attacks found, as a table for docs/reliability.md."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.measuring import percentile
from benchmarks.prove.clients import Tally

COLUMNS = ("attack", "requests", "lost", "429", "p50 / p99 s", "what else")
BEGIN, END = "<!-- make prove begins -->", "<!-- make prove ends -->"
"""Around the table in the document."""


@dataclass
class Case:
    """One attack: its figures, and what is wrong with them."""

    attack: str
    tally: Tally | None = None
    """Of the requests that ought to be answered while it lasts."""
    notes: str = ""
    complaints: list[str] = field(default_factory=list)

    def row(self) -> str:
        """Return the case as a row of the table."""
        cells: list[object] = [self.attack, "", "", "", "", self.notes]
        if self.tally is not None:
            requests = self.tally.right + self.tally.lost
            cells[1:4] = f"{requests:,}", self.tally.lost, self.tally.refusals
        if self.tally is not None and len(self.tally.seconds) > 1:
            cells[4] = p50_p99(self.tally.seconds)
        return f"| {' | '.join(map(str, cells))} |"


def p50_p99(seconds: Sequence[float]) -> str:
    """Return the median and the 99th percentile in seconds."""
    return f"{statistics.median(seconds):.2f} / {percentile(seconds, 99):.2f}"


def table(cases: Sequence[Case]) -> str:
    """Return all cases as a Markdown table."""
    head = [f"| {' | '.join(COLUMNS)} |", f"|{' --- |' * len(COLUMNS)}"]
    return "\n".join([*head, *(case.row() for case in cases)])


def write(path: Path, text: str) -> None:
    """Put a text between the markers of a document."""
    before, _, rest = path.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
