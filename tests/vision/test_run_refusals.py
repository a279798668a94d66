"""What ``vision run`` refuses, and says before it asks anything."""

import fcntl
from pathlib import Path

import pytest

from tests.stack import Stack
from tests.vision.command import vision
from tests.vision.running import photos, run


@pytest.fixture(scope="module")
def url(stack: Stack, api: str) -> str:
    stack.worker("fake")
    return api


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--task", "smell"], "There is no task 'smell'"),
        (["--model", "opennsfw", "--task", "caption"], "opennsfw cannot do caption"),
        (["--language", "German", "--model", "fake"], "knows one language only"),
        (["--concurrency", "many"], "--concurrency is a number"),
        (["--between", "dusk"], "--between is two different times"),
        (["--out", "xmp", "--output", "x"], "Sidecars are written beside the photos"),
        (["--out", "xmp", "--exiftool", "nowhere"], "There is no nowhere"),
        (["/nowhere/at/all"], "There is no file or folder"),
        (["/" + "x" * 300], "cannot be read: File name too long."),
    ],
    ids=["task", "model", "language", "concurrency", "hours", "output", "exiftool", "path", "long"],
)
def test_what_cannot_be_run_is_said_before_anything_is_asked(
    url: str, tmp_path: Path, words: list[str], sentence: str
) -> None:
    said = vision("run", tmp_path, *words, VISION_URL=url, XDG_STATE_HOME=str(tmp_path))
    assert said.returncode == 2
    assert sentence in said.stderr
    assert "Traceback" not in said.stderr


def test_two_runs_do_not_write_one_file_and_a_foreign_file_is_kept(
    url: str, tmp_path: Path
) -> None:
    photos(tmp_path / "photos", 1)
    (tmp_path / "mine.jsonl").write_text("my own words\n")
    said = run(url, tmp_path, tmp_path / "photos", "--output", tmp_path / "mine.jsonl")
    assert said.returncode == 2
    assert "cannot be continued" in said.stderr
    assert (tmp_path / "mine.jsonl").read_text() == "my own words\n"
    with (tmp_path / "taken.csv").open("a") as taken:
        fcntl.flock(taken, fcntl.LOCK_EX)
        said = run(url, tmp_path, tmp_path / "photos", "--output", tmp_path / "taken.csv")
    assert said.returncode == 2
    assert "Another run writes to" in said.stderr


def test_a_journal_that_cannot_be_used_is_named(url: str, tmp_path: Path) -> None:
    photos(tmp_path / "photos", 1)
    (tmp_path / "journal").write_text("my own words, and no database")
    said = run(url, tmp_path, tmp_path / "photos", "--journal", tmp_path / "journal")
    assert said.returncode == 2
    assert f"The journal {tmp_path / 'journal'} cannot be used" in said.stderr
    assert (tmp_path / "journal").read_text() == "my own words, and no database"


def test_a_service_that_answers_nobody_ends_the_run_with_its_reason(
    url: str, tmp_path: Path
) -> None:
    photos(tmp_path / "photos", 2)
    said = vision(
        "run", tmp_path / "photos", "--task", "caption", "--model", "unserved", "--patience", "0",
        VISION_URL=url, XDG_STATE_HOME=str(tmp_path),
    )  # fmt: skip
    assert said.returncode == 3
    assert "No worker serves unserved" in said.stderr
    assert "The same command continues from here." in said.stderr
