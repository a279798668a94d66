"""Where API processes keep the numbers that they share."""

import os
from pathlib import Path

import pytest

from api.metrics_folder import make_folder
from workers.consumer.predecessors import process_lives

ENDED = next(pid for pid in range(2**22 - 1, 1, -1) if not process_lives(pid))


def test_folders_of_killed_gunicorns_are_removed_and_those_of_others_stay(tmp_path: Path) -> None:
    names = {
        f"vision-metrics-{ENDED}-a",
        f"vision-metrics-{os.getppid()}-b",
        "other",
        "vision-metrics-c",
    }
    for name in names:
        (tmp_path / name).mkdir()
    made = Path(make_folder(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {
        *names - {f"vision-metrics-{ENDED}-a"},
        made.name,
    }
    assert made.name.startswith(f"vision-metrics-{os.getpid()}-")


def test_without_a_folder_in_memory_it_is_among_the_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert Path(make_folder(tmp_path / "absent")).parent == tmp_path
