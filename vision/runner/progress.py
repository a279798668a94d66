"""How far a run is: a bar on a terminal, lines in a log, and the summary at the end."""

import collections
import time
from collections.abc import Mapping
from datetime import timedelta
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from vision.console import notes, say
from vision.runner.gate import local_time
from vision.runner.window import Window
from vision.runner.work import Outcome

HOUR_S = 3600
SPEED_S = 600.0
"""The rate is that of so long a time: some models take a minute for a photo."""
LINE_S = 600.0
"""Between two lines in a log, where there is no terminal for a bar."""


class _PerHour(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed * HOUR_S:,.0f}/hour" if task.speed else "–/hour")


class _Left(ProgressColumn):
    """When the run will be done, if it may ask in some hours only; else how long it takes."""

    def __init__(self, window: Window | None) -> None:
        super().__init__()
        self._window = window

    def render(self, task: Task) -> Text:
        if task.time_remaining is None:
            return Text("")
        left = timedelta(seconds=task.time_remaining)
        if self._window or left.days:
            now = local_time()
            done = self._window.finish(now, left) if self._window else now + left
            return Text(f"done on {done:%a %d %b, %H:%M}")
        return Text(f"{left} left")


class Report:
    """Counts outcomes and shows them; a context manager around a run."""

    def __init__(self, total: int, window: Window | None = None) -> None:
        """Begin a run.

        Args:
            total: items in all.
            window: the hours in which it asks; ``None``: always.
        """
        self._total, self._began = total, time.monotonic()
        self._began_at, self._line_at = time.time(), self._began
        self.written = self.known = self.left = self.asked = 0
        self.unanswered = 0
        """Failures of which the journal knows: photos on which a model failed."""
        self.failures: dict[str, str] = {}
        self._answers: collections.Counter[str] = collections.Counter()
        self._columns = (
            TextColumn("{task.completed:,.0f} of {task.total:,.0f} photos"),
            _PerHour(),
            _Left(window),
            TextColumn("{task.fields[failed]}"),
        )
        self._progress = Progress(
            self._columns[0],
            BarColumn(),
            *self._columns[1:],
            console=notes,
            disable=not notes.is_terminal,
            transient=True,
            speed_estimate_period=SPEED_S,
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

    def done(
        self,
        outcome: Outcome,
        faults: Mapping[str, str],
        *,
        written: bool = False,
        left: bool = False,
    ) -> None:
        """Count an item.

        Args:
            outcome: what is known of it.
            faults: what went wrong: by task, or with the sink, if each task is answered.
            written: whether the sink took it now.
            left: whether the sink found nothing that it might write.
        """
        left |= not outcome.answers and not faults
        if faults:
            self.failures[outcome.item.shown] = " ".join(dict.fromkeys(faults.values()))
            self.unanswered += bool(outcome.faults) and not outcome.is_unread
        self.written += written
        self.left += left
        self.known += not (faults or written or left)
        for answer in outcome.answers.values():
            if answer.at >= self._began_at:
                self._answers[answer.host] += 1
        if outcome.asked:
            self.asked += 1
            self._progress.advance(self._task)
        else:  # which took no time, and says nothing about the time that is left
            self._total -= 1
            self._progress.update(self._task, total=self._total)
        if self.failures:
            self._progress.update(self._task, failed=f"{len(self.failures):,} failed")
        self._tell_log()

    def figures(self) -> dict[str, float | None]:
        """Return how far the run is, in numbers, as the service takes them; any thread may ask."""
        (task,) = self._progress.tasks
        return {
            "total": self._total,
            "done": self.asked,
            "failed": len(self.failures),
            "per_hour": task.speed * HOUR_S if task.speed else None,
            "left_s": task.time_remaining,
        }

    def _tell_log(self) -> None:
        """Write a line now and then, where nobody sees the bar."""
        if notes.is_terminal or time.monotonic() - self._line_at < LINE_S:
            return
        self._line_at = time.monotonic()
        (task,) = self._progress.tasks
        texts = [column.render(task).plain for column in self._columns]
        say(", ".join(text for text in texts if text))

    def summarise(self, where: str) -> None:
        """Say what came of the run."""
        for name, reason in self.failures.items():
            say(f"{name}: {reason}", "red")
        seconds = time.monotonic() - self._began
        rate = f", {self.asked / seconds * HOUR_S:,.0f} per hour" if self.asked else ""
        left = f"{self.left:,} left as they are, " if self.left else ""
        say(
            f"{self.written:,} photos written to {where}, {self.known:,} were there already, {left}"
            f"{len(self.failures):,} failed ({self.asked:,} asked{rate})."
        )
        if hosts := self._shares():
            say(f"Answers by machine: {hosts}.")

    def _shares(self) -> str:
        """Return how many answers each machine gave; empty if it was one, or unknown ones."""
        if len(self._answers) < 2:
            return ""
        whole = self._answers.total()
        return ", ".join(
            f"{host or 'unknown'} {count:,} ({count / whole:.0%})"
            for host, count in self._answers.most_common()
        )
