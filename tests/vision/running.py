"""``vision run`` on small photos, and what is left of it."""

import contextlib
import csv
import io
import sqlite3
from pathlib import Path

from PIL import Image

from tests.vision.command import Done, vision


def photos(folder: Path, count: int) -> list[Path]:
    """Photos of different colours; the fake model answers the colour."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:03}.png" for number in range(count)]
    for number, path in enumerate(paths):
        Image.new("RGB", (8, 8), (number % 200, number // 200, 7)).save(path)
    return paths


def caption(number: int) -> str:
    return f"rgb {number % 200} {number // 200} 7"


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def run(url: str, home: Path, *words: object) -> Done:
    return vision("run", *words, "--model", "fake", VISION_URL=url, XDG_STATE_HOME=str(home))


def in_journal(home: Path, query: str) -> list[str]:
    """What a query for one column of the journal finds."""
    with contextlib.closing(sqlite3.connect(home / "vision-workers/journal.sqlite")) as journal:
        return [row[0] for row in journal.execute(query)]


def answered(home: Path) -> set[str]:
    """The ids of the requests whose answers the journal has."""
    return {key[:32] for key in in_journal(home, "SELECT key FROM answers")}
