"""Where outcomes go: a table (CSV) or lines of JSON, in a file or on standard output."""

import csv
import fcntl
import io
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any, Protocol

from vision.runner.work import Answer, Outcome

COLUMNS = ("path", "caption", "labels", "nsfw", "nsfw_score", "models", "id")


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
        if path is None:
            self._file.write(self._head())
            return
        try:
            self._file = path.open("a+", encoding="utf-8", newline="")
            self._continue()
        except (OSError, ValueError, KeyError) as err:
            if self._file is not output:
                self._file.close()
            if isinstance(err, BlockingIOError):
                advice = "Wait for it, or name another file."
                raise SinkError(f"Another run writes to {path}. {advice}") from err
            raise SinkError(f"{path} cannot be continued: {err}. Name another file.") from err

    def _continue(self) -> None:
        """Go on behind what the file has."""
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._cut_torn_line()
        self._file.seek(0)
        text = self._file.read()
        self._ids = set(self._ids_in(text))
        if not text:
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
            self._file.close()

    def _write(self, text: str) -> None:
        self._file.write(text)
        self._file.flush()

    def _cut_torn_line(self) -> None:
        with Path(self._file.name).open("r+b") as raw:
            end = raw.seek(0, os.SEEK_END)
            while end > 0:
                begin = max(end - 65536, 0)
                raw.seek(begin)
                place = raw.read(end - begin).rfind(b"\n")
                if place >= 0:
                    end = begin + place + 1
                    break
                end = begin
            raw.truncate(end)

    def _head(self) -> str:
        return ""

    @abstractmethod
    def _line(self, outcome: Outcome) -> str: ...

    @abstractmethod
    def _ids_in(self, text: str) -> Iterable[str]: ...


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

    def _ids_in(self, text: str) -> Iterable[str]:
        return [json.loads(line)["id"] for line in text.split("\n") if line]


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

    def _ids_in(self, text: str) -> Iterable[str]:
        return [row["id"] for row in csv.DictReader(io.StringIO(text, newline=""))]


def _csv_line(cells: Iterable[Any]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _models(answers: Mapping[str, Answer]) -> dict[str, str]:
    """Return the model that answered, with its version, by task."""
    return {task: f"{answer.model}:{answer.version}" for task, answer in answers.items()}
