"""What was asked and answered, in a SQLite file: the memory of all runs.

Each answer is committed as it comes, and handed to the system when that returns. So nothing is lost
when the process is killed, and no answer is asked for twice. The disk has it a second later at the
latest if answers go on to come, and at the end. A power cut loses no more than that, which is asked
again: what sinks have written is marked only when the disk has it.
"""

import contextlib
import json
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from vision.runner.work import Answer, Question

VERSION = 2
BUSY_S = 30.0
"""How long another run, which uses the same file, may take for a commit."""
SYNC_S = 1.0
"""Between two commits that wait for the disk, which may take ten times as long as all else."""
_SCHEMA = """
CREATE TABLE contents (name TEXT PRIMARY KEY, size INTEGER, modified_ns INTEGER, digest TEXT);
CREATE TABLE answers (
    key TEXT PRIMARY KEY, name TEXT, digest TEXT, task TEXT, model TEXT, version TEXT, prompt TEXT,
    system TEXT, answer TEXT, at REAL);
CREATE TABLE faults (
    key TEXT PRIMARY KEY, name TEXT, task TEXT, model TEXT, version TEXT, prompt TEXT, system TEXT,
    reason TEXT, at REAL);
CREATE TABLE written (sink TEXT, id TEXT, at REAL, PRIMARY KEY (sink, id));
"""
_SINCE_2 = """
CREATE TABLE provenance (sink TEXT, name TEXT, content TEXT, at REAL, PRIMARY KEY (sink, name));
"""
_ANSWER = "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_FAULT = "INSERT OR REPLACE INTO faults VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_FAILED = """
SELECT name FROM faults WHERE task = ? AND model = ? AND version = ? AND prompt = ? AND system = ?
ORDER BY name"""


class JournalError(Exception):
    """The journal cannot be used; the message says why."""


class Journal:
    """The journal in one file; threads may share it."""

    def __init__(self, path: Path) -> None:
        """Open the file, and make it if there is none.

        Raises:
            JournalError: it cannot be used.
        """
        self._lock, self._synced_at = threading.Lock(), 0.0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(
                path, timeout=BUSY_S, check_same_thread=False, isolation_level=None
            )
            self._db.execute("PRAGMA journal_mode = WAL")  # a commit is then one write
            self._prepare(path)
        except (OSError, sqlite3.Error) as err:
            raise JournalError(f"The journal {path} cannot be used: {err}.") from err

    def _prepare(self, path: Path) -> None:
        with self._transaction():
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version < VERSION:
                schema = _SINCE_2 if version else _SCHEMA + _SINCE_2
                for statement in filter(str.strip, schema.split(";")):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {VERSION}")
            elif version > VERSION:
                raise JournalError(
                    f"The journal {path} is of another version of `vision`. Name another file with "
                    "--journal."
                )

    def close(self) -> None:
        """Close the file; a thread that still works then gets an error."""
        with self._lock:
            self._db.close()

    def digest(self, name: str, stamp: tuple[int, int]) -> str:
        """Return the digest of a photo's content; empty: not known for this stamp."""
        found = self._one(
            "SELECT digest FROM contents WHERE name = ? AND size = ? AND modified_ns = ?",
            (name, *stamp),
        )
        return str(found[0]) if found else ""

    def remember_digest(self, name: str, stamp: tuple[int, int], digest: str) -> None:
        """Remember the digest of a photo's content, so that it need not be read again."""
        self._write("INSERT OR REPLACE INTO contents VALUES (?, ?, ?, ?)", (name, *stamp, digest))

    def answer(self, key: str) -> Answer | None:
        """Return the answer to a question about a photo, if there is one."""
        found = self._one("SELECT answer FROM answers WHERE key = ?", (key,))
        return Answer(**json.loads(str(found[0]))) if found else None

    def fault(self, key: str) -> str:
        """Return why a question about a photo failed; empty: it did not."""
        found = self._one("SELECT reason FROM faults WHERE key = ?", (key,))
        return str(found[0]) if found else ""

    def record(self, key: str, name: str, digest: str, question: Question, answer: Answer) -> None:
        """Record an answer, and that the question no longer counts as failed."""
        row = (key, name, digest, *_fields(question), json.dumps(asdict(answer)), answer.at)
        with self._transaction():
            self._db.execute(_ANSWER, row)
            self._db.execute("DELETE FROM faults WHERE key = ?", (key,))

    def record_fault(self, key: str, name: str, question: Question, reason: str) -> None:
        """Record that a question about a photo failed, whenever it is asked."""
        row = (key, name, *_fields(question), reason, time.time())
        self._write(_FAULT, row)

    def failed(self, questions: Iterable[Question]) -> list[str]:
        """Return the names of all items about which one of the questions failed."""
        names: dict[str, None] = {}
        for question in questions:
            with self._lock:
                rows = self._db.execute(_FAILED, _fields(question)).fetchall()
            names |= dict.fromkeys(row[0] for row in rows)
        return list(names)

    def is_written(self, sink: str, outcome_id: str) -> bool:
        """Return whether a sink has taken an outcome."""
        query = "SELECT 1 FROM written WHERE sink = ? AND id = ?"
        return self._one(query, (sink, outcome_id)) is not None

    def mark_written(self, sink: str, outcome_id: str) -> None:
        """Remember that a sink has taken an outcome."""
        row = (sink, outcome_id, time.time())
        self._write("INSERT OR REPLACE INTO written VALUES (?, ?, ?)", row)

    def provenance(self, sink: str, name: str) -> str:
        """Return what was noted of what a sink has written into something; empty: nothing."""
        query = "SELECT content FROM provenance WHERE sink = ? AND name = ?"
        found = self._one(query, (sink, name))
        return str(found[0]) if found else ""

    def note_provenance(self, sink: str, name: str, content: str) -> None:
        """Note what a sink has written into something, or is about to; the disk has it then."""
        row = (sink, name, content, time.time())
        with self._transaction(syncs=True):
            self._db.execute("INSERT OR REPLACE INTO provenance VALUES (?, ?, ?, ?)", row)

    def _one(self, query: str, values: tuple[object, ...]) -> tuple[object, ...] | None:
        with self._lock:
            found: tuple[object, ...] | None = self._db.execute(query, values).fetchone()
        return found

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        with self._transaction():
            self._db.execute(statement, values)

    @contextlib.contextmanager
    def _transaction(self, *, syncs: bool = False) -> Iterator[None]:
        """Commit what is done in it.

        Args:
            syncs: wait for the disk in any case.

        Raises:
            JournalError: it cannot be committed; nothing of it is.
        """
        try:
            with self._lock:
                syncs |= time.monotonic() - self._synced_at > SYNC_S
                self._db.execute(f"PRAGMA synchronous = {'FULL' if syncs else 'NORMAL'}")
                with self._db:  # which commits, or rolls back
                    self._db.execute("BEGIN IMMEDIATE")
                    yield
                self._synced_at = time.monotonic() if syncs else self._synced_at
        except sqlite3.Error as err:
            raise JournalError(f"The journal cannot be written: {err}.") from err


def _fields(question: Question) -> tuple[str, ...]:
    return (question.task, question.model, question.version, question.prompt, question.system)
