"""A library of 500 photos backfilled by machines of unequal speed that sleep, with a run killed."""

import collections
import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.photoprism_standin import File, PhotoPrismStandIn
from tests.stack import CATALOG, ROOT, Process, Stack, end, running_stack, wait_for
from tests.vision.command import VISION, environment
from vision.runner.run import READ_AHEAD

pytestmark = pytest.mark.slow

PHOTOS = 500
BY_PERSON = 25
"""Of these photos, a person has captioned every so many-th."""
PERSON = "Anna at the sea"
IN_FLIGHT = 24
ROW = '  - {name: fake, family: fake, version: "7"}\n'


def catalogue(folder: Path, name: str, image_s: float) -> str:
    """Return a copy of the tests' catalogue in which the fake model takes its time."""
    path, text = folder / f"{name}.yaml", CATALOG.read_text()
    assert ROW in text
    slower = ROW.replace("}", f", parameters: {{predict_s: 0.1, image_s: {image_s}}}}}")
    path.write_text(text.replace(ROW, slower))
    return str(path)


@contextlib.contextmanager
def asleep(worker: Process) -> Iterator[None]:
    """Have a worker with all its processes stand still, as a laptop whose lid is closed."""
    os.killpg(worker.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(worker.pid, signal.SIGCONT)


class Run:
    """The command in a process of its own."""

    def __init__(self, prism: PhotoPrismStandIn, url: str, home: Path, *words: str) -> None:
        self.log = home / "said.txt"
        command = [
            *VISION, "photoprism", "backfill", "--model", "fake", "--task", "caption",
            "--keep-waiting", "--concurrency", str(IN_FLIGHT), *words,
        ]  # fmt: skip
        variables = environment(
            VISION_URL=url, PHOTOPRISM_URL=prism.url, PHOTOPRISM_TOKEN=prism.token,
            XDG_STATE_HOME=str(home),
        )  # fmt: skip
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, env=variables, stderr=log)

    @property
    def said(self) -> str:
        return self.log.read_text()

    def finish(self) -> str:
        assert self.process.wait(280) == 0, self.said
        return self.said


def answers(stack: Stack) -> collections.Counter[str]:
    """How often the API answered each question, by its id."""
    lines = stack.processes.logs("api").splitlines()
    found = (json.loads(line) for line in lines if line.startswith("{") and "/caption" in line)
    return collections.Counter(line["request_id"] for line in found if line.get("status") == 200)


def written(prism: PhotoPrismStandIn) -> int:
    return sum(photo.caption_src == "image" for photo in prism.library.photos.values())


class Night(NamedTuple):
    """A library after the first night, and what the run said."""

    stack: Stack
    prism: PhotoPrismStandIn
    url: str
    home: Path
    said: str

    @property
    def persons(self) -> list[str]:
        """The photos that a person has captioned."""
        return self.prism.uids[::BY_PERSON]

    @property
    def others(self) -> list[str]:
        return [uid for uid in self.prism.uids if uid not in self.persons]


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    """Two workers of unequal speed, and one that sleeps and wakes; a run that is killed."""
    home = tmp_path_factory.mktemp("night")
    with running_stack(home, VISION_MODELS="fake") as stack, PhotoPrismStandIn(PHOTOS) as prism:
        for uid in prism.uids[::BY_PERSON]:
            prism.edit(uid, PERSON)
        url = stack.api()
        run = Run(prism, url, home)  # before anybody is awake
        wait_for("it to wait", lambda: "Waiting: No worker serves fake" in run.said)
        fast, slow, laptop = (
            stack.another_worker("fake", VISION_CATALOG=catalogue(home, name, image_s))
            for name, image_s in {"fast": 0.02, "slow": 0.08, "laptop": 0.02}.items()
        )
        wait_for("all to serve", lambda: len(stack.presence("fake").workers) == 3)
        wait_for("some photos", lambda: written(prism) > 50)
        with asleep(laptop):
            wait_for("more photos", lambda: written(prism) > 150)
            end(run.process, signal.SIGKILL)
            run = Run(prism, url, home)
            wait_for("more photos", lambda: written(prism) > 250)
        said = run.finish()
        assert (fast.poll(), slow.poll(), laptop.poll()) == (None, None, None)
        yield Night(stack, prism, url, home, said)


def test_no_photo_is_lost_and_none_asked_about_twice_but_those_in_flight(night: Night) -> None:
    assert written(night.prism) == len(night.others)
    assert "0 failed" in night.said
    asked = answers(night.stack)
    assert len(asked) == len(night.others)
    under_way = IN_FLIGHT + READ_AHEAD  # when the run was killed
    assert sum(asked.values()) <= len(night.others) + under_way


def test_captions_of_persons_stay_and_no_two_changes_meet(night: Night) -> None:
    assert {night.prism.library.photos[uid].caption for uid in night.persons} == {PERSON}
    assert not night.prism.collisions


def test_the_next_night_only_what_is_new_is_asked_about(night: Night) -> None:
    edited, *replaced = night.others[:4]
    night.prism.edit(edited, "My circle")
    for number, uid in enumerate(replaced):
        night.prism.library.photos[uid].files = [File.of(PHOTOS + number, 96)]
    night.prism.requests.clear()
    said = Run(night.prism, night.url, night.home).finish()
    assert "3 photos written" in said
    assert f"{len(night.persons)} left as they are, 0 failed (3 asked" in said
    assert {call.path for call in night.prism.writes()} == {f"photos/{uid}" for uid in replaced}
    assert night.prism.library.photos[edited].caption == "My circle"
