"""What runs remember, and what the summary says of it."""

import contextlib
import sqlite3
import time
from pathlib import Path

import pytest

from tests.vision.test_wanted import CHAT
from vision.runner.files import Photo
from vision.runner.journal import Journal, JournalError
from vision.runner.progress import Report
from vision.runner.work import Answer, Outcome, Question


def test_a_journal_keeps_answers_by_photo_content_and_question(tmp_path: Path) -> None:
    question = Question.of("caption", CHAT, prompt="look")
    answer = Answer({"text": "a cat"}, "chat", "2b", 0.5, 1.0)
    key = question.key("a.jpg", "d1")
    journal = Journal(tmp_path / "folder" / "journal.sqlite")
    journal.record_fault(key, "a.jpg", question, "It failed.")
    assert journal.failed([question]) == ["a.jpg"]
    journal.record(key, "a.jpg", "d1", question, answer)
    journal.close()

    again = Journal(tmp_path / "folder" / "journal.sqlite")
    assert again.answer(key) == answer
    assert (again.fault(key), again.failed([question])) == ("", [])
    others = [
        question.key("a.jpg", "d2"), question.key("b.jpg", "d1"),
        Question.of("caption", CHAT).key("a.jpg", "d1"),
        Question.of("labels", CHAT, prompt="look").key("a.jpg", "d1"),
    ]  # fmt: skip
    assert [again.answer(other) for other in others] == [None] * 4
    again.close()


def test_the_content_of_a_file_is_known_until_its_size_or_its_time_changes(tmp_path: Path) -> None:
    with contextlib.closing(Journal(tmp_path / "journal.sqlite")) as journal:
        journal.remember_digest("a.jpg", (10, 1), "d1")
        assert journal.digest("a.jpg", (10, 1)) == "d1"
        stamps = [("a.jpg", (10, 2)), ("a.jpg", (11, 1)), ("b.jpg", (10, 1))]
        assert [journal.digest(*of) for of in stamps] == ["", "", ""]
        journal.remember_digest("a.jpg", (10, 2), "d2")
        assert [journal.digest("a.jpg", (10, at)) for at in (1, 2)] == ["", "d2"]


def test_a_journal_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    Journal(path).close()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(JournalError, match="of another version of `vision`"):
        Journal(path)


def test_a_journal_of_an_earlier_version_goes_on(tmp_path: Path) -> None:
    path, question = tmp_path / "journal.sqlite", Question.of("caption", CHAT)
    answer = Answer({"text": "a cat"}, "chat", "2b", 0.5, 1.0)
    with contextlib.closing(Journal(path)) as journal:
        journal.record("key", "a.jpg", "d1", question, answer)
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.executescript("DROP TABLE provenance; PRAGMA user_version = 1")
    with contextlib.closing(Journal(path)) as journal:
        journal.note_provenance("photoprism nas", "uid", "{}")
        assert journal.answer("key") == answer
        assert journal.provenance("photoprism nas", "uid") == "{}"


def test_the_summary_says_how_much_each_machine_has_answered(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def outcome(number: int, host: str, at: float) -> Outcome:
        answer = Answer({"text": "a cat"}, "chat", "2b", 0.5, at, host)
        return Outcome(Photo(Path(f"/{number}.jpg")), answers={"caption": answer}, asked=1)

    report = Report(5)
    now = time.time() + 1
    for number, host in enumerate(["tower", "tower", "laptop", "tower"]):
        report.done(outcome(number, host, now), {}, written=True)
    report.done(outcome(5, "old", now - 3600), {}, written=True)  # was in the journal
    report.summarise("out.csv")
    assert "Answers by machine: tower 3 (75%), laptop 1 (25%)." in capsys.readouterr().err
