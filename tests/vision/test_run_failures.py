"""What failed in ``vision run`` is listed, and tried again when it is asked for."""

import contextlib
import errno
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.stack import Stack
from tests.vision.running import photos, rows, run


@pytest.fixture(scope="module")
def url(stack: Stack, api: str) -> str:
    stack.worker("fake")
    return api


def test_failures_are_listed_and_asked_again_only_on_demand(url: str, tmp_path: Path) -> None:
    photos(tmp_path / "photos", 2)
    (tmp_path / "photos" / "bad.jpg").write_text("no photo")
    ask = (tmp_path / "photos", "--task", "caption", "--output", tmp_path / "out.csv")
    first = run(url, tmp_path, *ask)
    assert first.returncode == 1
    assert "bad.jpg: The data is not an image" in first.stderr
    assert first.stderr.endswith(
        "Photos on which a model failed are asked about again only with --retry-failed.\n"
    )
    assert len(rows(tmp_path / "out.csv")) == 2
    second = run(url, tmp_path, *ask)
    assert (second.returncode, "(0 asked)" in second.stderr) == (1, True)
    # Without paths, what failed is what the journal has.
    third = run(url, tmp_path, "--retry-failed", *ask[1:])
    assert (third.returncode, "(1 asked" in third.stderr) == (1, True)


def test_a_folder_that_cannot_be_read_is_a_failure_and_its_neighbours_are_asked_about(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos(tmp_path / "photos" / "open", 2)
    photos(tmp_path / "photos" / "closed", 2)
    close(tmp_path / "photos" / "closed", monkeypatch)
    said = run(url, tmp_path, tmp_path / "photos", "--task", "caption")
    assert said.returncode == 1
    assert f"{tmp_path}/photos/closed: The folder cannot be read: Permission denied." in said.stderr
    assert "2 photos written to standard output, 0 were there already, 1 failed" in said.stderr
    monkeypatch.undo()
    assert "(2 asked" in run(url, tmp_path, tmp_path / "photos", "--task", "caption").stderr


def close(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a folder be one that may not be read; nothing is forbidden to root."""
    scan = os.scandir

    def scandir(path: Any) -> Any:
        if Path(path) == folder:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)


def test_what_failed_is_found_again_by_any_name_and_nothing_of_a_photoprism(
    url: str, tmp_path: Path
) -> None:
    odd = tmp_path / os.fsdecode(b"M\xfcnchen.jpg")
    odd.write_text("no photo")
    ask = ("--task", "caption", "--output", tmp_path / "out.csv")
    run(url, tmp_path, odd, *ask)
    with contextlib.closing(sqlite3.connect(tmp_path / "vision-workers/journal.sqlite")) as journal:
        journal.execute(
            "INSERT INTO faults SELECT 'other', 'photoprism:ps1', task, model, version, prompt, "
            "system, reason, at FROM faults"
        )
        journal.commit()
    said = run(url, tmp_path, "--retry-failed", *ask)
    assert "0 were there already, 1 failed (1 asked" in said.stderr
    assert "M\\xfcnchen.jpg: The data is not an image" in said.stderr


def test_photos_that_failed_and_were_deleted_are_no_failures_until_they_are_back(
    url: str, tmp_path: Path
) -> None:
    bad = [tmp_path / "photos" / f"{name}.jpg" for name in ("one", "two", "three")]
    photos(tmp_path / "photos", 0)
    for path in bad:
        path.write_text(f"no photo {path}")
    ask = ("--task", "caption", "--output", tmp_path / "out.csv")
    run(url, tmp_path, tmp_path / "photos", *ask)
    bad[0].unlink()
    said = run(url, tmp_path, "--retry-failed", *ask)
    assert "1 of the photos that failed is no longer there, and left out." in said.stderr
    assert "2 failed (2 asked" in said.stderr
    (tmp_path / "photos").rename(tmp_path / "elsewhere")
    said = run(url, tmp_path, "--retry-failed", *ask)
    assert "3 of the photos that failed are no longer there, and left out." in said.stderr
    assert ("0 failed (0 asked" in said.stderr, said.returncode) == (True, 0)
    (tmp_path / "elsewhere").rename(tmp_path / "photos")  # as a disk that is there again
    said = run(url, tmp_path, "--retry-failed", *ask)
    assert (said.returncode, "2 failed (2 asked" in said.stderr) == (1, True)
