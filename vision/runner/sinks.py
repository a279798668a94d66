"""Where outcomes go: a table (CSV) or lines of JSON, in a file or on standard output."""

import contextlib
import csv
import fcntl
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any, Protocol

from vision.runner.work import Answer, Outcome

COLUMNS = ("path", "caption", "labels", "nsfw", "nsfw_score", "models", "id")
FOREIGN = "it is not a file of such results"


class SinkError(Exception):
    """Outcomes cannot be written; the message says why."""


class NotWritten(Exception):
    """This outcome cannot be written, but others may be; the message says why."""


class Sink(Protocol):
    """Takes outcomes. It may be asked again to take one that it has, after a kill."""

    @property
    def where(self) -> str:
        """Where the outcomes are, for a person."""

    @property
    def writers(self) -> int:
        """How many outcomes may be written at once, in threads."""

    def has(self, outcome: Outcome) -> bool:
        """Return whether it has taken this outcome, in this run or an earlier one."""

    def write(self, outcome: Outcome) -> bool:
        """Take a complete outcome; return whether there was anything to write.

        Raises:
            NotWritten: it cannot take this one.
            SinkError: it can take none.
        """

    def close(self) -> None:
        """End."""


class LinesSink(ABC):
    """A file of one line for each photo, to which runs append.

    What a file has is read from the file itself. So whatever was killed, moved or deleted, the file
    ends up with each photo once; a line that was cut off by a kill is removed.
    """

    def __init__(self, path: Path | None, output: IO[str]) -> None:
        """Open the file and read what it has.

        Args:
            path: the file; ``None``: ``output``, which has nothing.
            output: standard output.

        Raises:
            SinkError: the file cannot be written, or is not of this kind.
        """
        self._file, self._ids, self._path = output, set[str](), path
        try:
            if path is None:
                self._write(self._head())
                return
            self._file = path.open("a+", encoding="utf-8", newline="")
            self._continue(path)
        except (OSError, ValueError, csv.Error) as err:
            if self._file is not output:
                self._file.close()
            if isinstance(err, BlockingIOError):
                advice = "Wait for it, or name another file."
                raise SinkError(f"Another run writes to {path}. {advice}") from err
            why = str(err) if isinstance(err, OSError) else FOREIGN
            raise SinkError(f"{self.where} cannot be continued: {why}. Name another file.") from err

    def _continue(self, path: Path) -> None:
        """Go on behind what the file has; one that is not ours stays as it is.

        Raises:
            ValueError: it is not ours.
        """
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        content = path.read_bytes()
        whole = content[: self._end_of_lines(content)]
        self._ids = set(self._ids_in(whole.decode()))
        if not whole and not self._may_begin(content):
            raise ValueError
        if whole != content:  # a kill or a full disk has cut a line off
            self._file.truncate(len(whole))
        if not whole:
            self._write(self._head())

    @property
    def writers(self) -> int:
        """One: lines are whole."""
        return 1

    @property
    def where(self) -> str:
        """The file."""
        return str(self._path or "standard output")

    def has(self, outcome: Outcome) -> bool:
        """Return whether the file has a line of this outcome."""
        return outcome.id in self._ids

    def write(self, outcome: Outcome) -> bool:
        """Append a line; it survives a kill.

        Raises:
            SinkError: it cannot be written.
        """
        try:
            self._write(self._line(outcome))
        except OSError as err:
            raise SinkError(f"{self.where} cannot be written: {err}.") from err
        self._ids.add(outcome.id)
        return True

    def close(self) -> None:
        """Close the file."""
        if self._path:
            # What could not be written is tried again by closing; that it failed was said.
            with contextlib.suppress(OSError):
                self._file.close()

    def _write(self, text: str) -> None:
        self._file.write(text)
        self._file.flush()

    def _end_of_lines(self, content: bytes) -> int:
        """Return where the last whole line of the file ends."""
        return content.rfind(b"\n") + 1

    def _may_begin(self, content: bytes) -> bool:
        """Return whether the file may be the beginning of our first line."""
        begin = self._first().encode()
        return content.startswith(begin) or begin.startswith(content)

    def _head(self) -> str:
        return ""

    @abstractmethod
    def _first(self) -> str:
        """Return how each file of ours begins."""

    @abstractmethod
    def _line(self, outcome: Outcome) -> str: ...

    @abstractmethod
    def _ids_in(self, text: str) -> Iterable[str]:
        """Return the ids in whole lines.

        Raises:
            ValueError: they are not ours.
        """


class JsonLines(LinesSink):
    """One JSON object for each photo: its path, the results as they came, the models."""

    def _line(self, outcome: Outcome) -> str:
        row = {
            "path": outcome.item.name,
            **{task: answer.result for task, answer in outcome.answers.items()},
            "models": _models(outcome.answers),
            "id": outcome.id,
        }
        return json.dumps(row, ensure_ascii=False) + "\n"

    def _first(self) -> str:
        return '{"path": "'

    def _ids_in(self, text: str) -> Iterable[str]:
        rows = [json.loads(line) for line in text.split("\n") if line]
        if not all(isinstance(row, dict) and "id" in row for row in rows):
            raise ValueError
        return [row["id"] for row in rows]


class Table(LinesSink):
    """CSV with the columns of :data:`COLUMNS`; those of tasks that were not asked for are empty."""

    def _head(self) -> str:
        return _csv_line(COLUMNS)

    def _line(self, outcome: Outcome) -> str:
        results = {task: answer.result for task, answer in outcome.answers.items()}
        (verdict, *_) = results.get("nsfw") or [{}]
        models = dict.fromkeys(_models(outcome.answers).values())
        row = {
            "path": outcome.item.name,
            "caption": (results.get("caption") or {}).get("text"),
            "labels": "; ".join(label["name"] for label in results.get("labels") or ()),
            "nsfw": verdict.get("status"),
            "nsfw_score": verdict.get("score"),
            "models": "; ".join(models),
            "id": outcome.id,
        }
        return _csv_line([row[column] for column in COLUMNS])

    def _first(self) -> str:
        return self._head()

    def _end_of_lines(self, content: bytes) -> int:
        end = content.rfind(b"\n") + 1
        while content.count(b'"', 0, end) % 2:  # a line break in the name of a photo
            end = content.rfind(b"\n", 0, end - 1) + 1
        return end

    def _ids_in(self, text: str) -> Iterable[str]:
        table = csv.DictReader(io.StringIO(text, newline=""))
        if tuple(table.fieldnames or COLUMNS) != COLUMNS:
            raise ValueError
        return [row["id"] for row in table]


def _csv_line(cells: Iterable[Any]) -> str:
    line = io.StringIO()
    # With this line end, a value that has either of its characters is put into quotes.
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue().removesuffix("\r\n") + "\n"


def _models(answers: Mapping[str, Answer]) -> dict[str, str]:
    """Return the model that answered, with its version, by task."""
    return {task: f"{answer.model}:{answer.version}" for task, answer in answers.items()}
