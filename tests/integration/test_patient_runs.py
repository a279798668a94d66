"""A run outlasts a flood of persons' requests: photos that are late are no failures."""

import collections
import contextlib
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from tests.integration.client import post
from tests.stack import API, Stack, wait_for
from tests.vision.command import vision
from vision.runner.asking import TRIES

PERSONS = 8
PHOTOS = 8


def late(stack: Stack) -> "collections.Counter[str]":
    """How often each request got no answer in time, by its id; only a run asks the same again."""
    lines = stack.processes.logs("api").splitlines()
    told = (json.loads(line) for line in lines if line.startswith("{"))
    return collections.Counter(
        line["request_id"]
        for line in told
        if line.get("models") == "pressed" and line.get("status") == 504
    )


@contextlib.contextmanager
def flood(base: str) -> Iterator[threading.Event]:
    """Have persons ask all the time, until the event is set."""
    is_over = threading.Event()

    def ask_on() -> None:
        while not is_over.is_set():
            post(f"{base}{API}/caption/pressed")

    with ThreadPoolExecutor(PERSONS) as pool:
        for _ in range(PERSONS):
            pool.submit(ask_on)
        try:
            yield is_over
        finally:
            is_over.set()


@pytest.mark.slow
def test_photos_that_persons_have_crowded_out_are_answered_after_them(
    stack: Stack, api: str, tmp_path: Path
) -> None:
    stack.worker("pressed")
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(PHOTOS):
        Image.new("RGB", (8, 8), (number, 9, 9)).save(photos / f"{number}.png")
    output = tmp_path / "out.jsonl"

    with flood(api) as is_over:

        def end_it_once_a_photo_was_late_often_enough() -> None:
            try:
                wait_for("a photo", lambda: max(late(stack).values(), default=0) >= TRIES)
            finally:
                is_over.set()

        watcher = threading.Thread(target=end_it_once_a_photo_was_late_often_enough)
        watcher.start()
        run = vision(
            "run", photos, "--task", "caption", "--model", "pressed", "--concurrency", PHOTOS,
            "--output", output, VISION_URL=api, XDG_STATE_HOME=str(tmp_path),
        )  # fmt: skip
        watcher.join()

    assert max(late(stack).values()) >= TRIES
    assert run.returncode == 0, run.stderr
    assert len(output.read_text().splitlines()) == PHOTOS
