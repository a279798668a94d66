"""How far a run is: a bar on a terminal, and the summary at its end."""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from vision.console import notes, say
from vision.runner.work import Outcome

HOUR_S = 3600


class _PerHour(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed * HOUR_S:,.0f}/hour" if task.speed else "–/hour")


class Report:
    """Counts outcomes and shows them; a context manager around a run."""

    def __init__(self, total: int) -> None:
        """Begin a run.

        Args:
            total: items in all.
        """
        self._total, self._began = total, time.monotonic()
        self.written = self.known = self.asked = 0
        self.failures: dict[str, str] = {}
        self._progress = Progress(
            TextColumn("{task.completed:,.0f} of {task.total:,.0f} photos"),
            BarColumn(),
            _PerHour(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[failed]}"),
            console=notes,
            disable=not notes.is_terminal,
            transient=True,
        )
        self._task = self._progress.add_task("", total=total, failed="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def done(self, outcome: Outcome, faults: Mapping[str, str], *, written: bool) -> None:
        """Count an item.

        Args:
            outcome: what is known of it.
            faults: what went wrong, by task or by sink.
            written: whether the sink took it now.
        """
        if faults:
            self.failures[outcome.item.name] = " ".join(dict.fromkeys(faults.values()))
        self.written += written
        self.known += not faults and not written
        if outcome.asked:
            self.asked += 1
            self._progress.advance(self._task)
        else:  # which took no time, and says nothing about the time that is left
            self._total -= 1
            self._progress.update(self._task, total=self._total)
        if self.failures:
            self._progress.update(self._task, failed=f"{len(self.failures):,} failed")

    def summarise(self, where: str) -> None:
        """Say what came of the run."""
        for name, reason in self.failures.items():
            say(f"{name}: {reason}", "red")
        seconds = time.monotonic() - self._began
        rate = f", {self.asked / seconds * HOUR_S:,.0f} per hour" if self.asked else ""
        say(
            f"{self.written:,} photos written to {where}, {self.known:,} were there already, "
            f"{len(self.failures):,} failed ({self.asked:,} asked{rate})."
        )
