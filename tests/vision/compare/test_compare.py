"""``vision compare`` of trained models on generated shapes, from photos to a vision.yml."""

import hashlib
import json
import re
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chat_checkpoints import make_checkpoint
from tests.photoprism_standin import PhotoPrismStandIn
from tests.stack import CATALOG, ROOT, TESTS, Stack, running_stack, wait_for
from tests.vision.command import VISION, environment, vision
from tests.vision.diagnosis import doctor
from tools.tiny_checkpoints import lessons
from tools.tiny_checkpoints.shapes import HELD_OUT_SEED, LABELS, draw

pytestmark = pytest.mark.slow
MODELS = ("smolvlm", "blip", "untrained", "shapes", "siglip2")
PHOTOS = 48
UNTRAINED = {
    "name": "untrained", "family": "image_text_to_text", "source": "none/needed",
    "tasks": ["answer", "caption"], "parameters": {"max_new_tokens": 48},
}  # fmt: skip


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A chat model and a captioner that know shapes, a chat model that knows nothing, labels."""
    folder = tmp_path_factory.mktemp("models")
    for checkpoint in (TESTS / "checkpoints").iterdir():
        (folder / checkpoint.name).symlink_to(checkpoint)
    make_checkpoint("smolvlm", folder / "untrained")
    (folder / "words.txt").write_text("\n".join(LABELS))
    catalog = yaml.safe_load(CATALOG.read_text())
    catalog["models"].append(UNTRAINED)
    (folder / "models.yaml").write_text(yaml.safe_dump(catalog))
    settings = {"VISION_CATALOG": str(folder / "models.yaml"), "VISION_MODELS_DIR": str(folder)}
    with running_stack(tmp_path_factory.mktemp("stack"), **settings) as running:
        running.ready_workers(MODELS)
        yield running


@pytest.fixture(scope="module")
def url(stack: Stack) -> str:
    return stack.api()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes")
    for number in range(PHOTOS):
        draw(HELD_OUT_SEED + number).image.save(folder / f"{number:02}.png")
    return folder


def compare(url: str, photos: Path, home: Path, *words: object) -> tuple[Any, str]:
    """Run the command; return what the page's script knows, and the page."""
    report = home / "report.html"
    said = vision(
        "compare", photos, "--output", report, *words, VISION_URL=url, XDG_STATE_HOME=str(home)
    )
    assert said.returncode == 0, said.stderr
    page = report.read_text(encoding="utf-8")
    (data,) = re.findall(r'<script id="data" type="application/json">(.*?)</script>', page)
    return json.loads(data), page


def names(data: Any, task: str) -> list[str]:
    """The contestants of a task, best first."""
    (found,) = [one["names"] for one in data["tasks"] if one["task"] == task]
    return list(found)


def first_label(page: str, photo: int, contestant: int) -> str:
    """The first label of a photo by a contestant; empty: it has none."""
    (said,) = re.findall(rf'id="said-labels-{photo}-{contestant}"[^>]*>(.*?)</div>', page)
    labels = re.findall(r"<li[^>]*>(.*?)</li>", said)
    return unescape(labels[0]) if labels else ""


@contextmanager
def corrected(photos: Path) -> Iterator[PhotoPrismStandIn]:
    """A PhotoPrism with these photos, in which a person has corrected all labels."""
    with PhotoPrismStandIn(PHOTOS) as prism:
        for number, uid in enumerate(prism.uids):
            content = (photos / f"{number:02}.png").read_bytes()
            (file,) = prism.library.photos[uid].files
            file.hash = hashlib.sha1(content, usedforsecurity=False).hexdigest()
            right = draw(HELD_OUT_SEED + number).label
            for label in LABELS:
                prism.library.add_label(uid, label, 0 if label == right else 100)
        yield prism


def cells(page: str, title: str) -> list[str]:
    """The cells of the first row with a title."""
    row = re.findall(rf"<tr><th[^>]*>{title}<.*?</tr>", page)[0]
    return [unescape(cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", row)]


def test_models_that_know_shapes_are_before_one_that_does_not_and_the_journal_is_not_timed(
    url: str, photos: Path, tmp_path: Path
) -> None:
    ask = ("--models", "untrained,smolvlm,blip", "--task", "caption", "--photos", 12)
    data, page = compare(url, photos, tmp_path, *ask)
    assert names(data, "caption")[2] == "untrained"
    assert set(names(data, "caption")) == {"smolvlm", "blip", "untrained"}
    assert cells(page, "Usable answers") == ["100 %", "100 %", "0 %"]
    assert "12 damaged characters" in cells(page, "Flags")[2]
    assert cells(page, "From the journal") == ["0", "0", "0"]
    assert all(
        re.fullmatch(r"[\d,]+ \(8 in [\d.]+ s\)", one) for one in cells(page, "Photos per hour")
    )
    again, page = compare(url, photos, tmp_path, *ask[:-1], 15)
    assert cells(page, "From the journal") == ["12", "12", "12"]
    assert all("(2 in" in one for one in cells(page, "Photos per hour"))
    assert again["id"] != data["id"]
    _, page = compare(url, photos, tmp_path, *ask)
    assert "Photos per hour</th" not in page  # nothing was asked, so nothing was measured


def test_labels_are_ranked_as_they_are_right_and_their_errors_estimated(
    url: str, photos: Path, tmp_path: Path
) -> None:
    ask = ("--models", "smolvlm,siglip2,shapes", "--task", "labels")
    data, page = compare(url, photos, tmp_path, *ask)
    found = names(data, "labels")
    truth = [draw(HELD_OUT_SEED + int(Path(name).stem)).label for name in data["photos"]]
    rates = []
    for number in range(len(found)):
        first = [first_label(page, photo, number) for photo in range(PHOTOS)]
        answered = [(one, right) for one, right in zip(first, truth, strict=True) if one]
        rates.append(sum(one != right for one, right in answered) / len(answered))
    estimated = [int(cell.removesuffix(" %")) / 100 for cell in cells(page, "Wrong first names")]
    assert estimated == pytest.approx(rates, abs=0.1)
    assert found[0] == "shapes"  # which is right most often: tests/checkpoints/README.md
    with corrected(photos) as prism:
        address = ("--photoprism", prism.url, "--token", prism.token)
        _, page = compare(url, photos, tmp_path, *ask, *address)
    judged = [float(cell.partition(" %")[0]) / 100 for cell in cells(page, "Right by your labels")]
    assert judged == pytest.approx([1 - rate for rate in rates], abs=0.01)


def test_prompts_are_contestants_and_the_winners_entries_are_accepted(
    url: str, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "prompts").write_text(f"plain =\nin German = {lessons.GERMAN}\n")
    ask = ("--models", "smolvlm,shapes", "--prompts", tmp_path / "prompts", "--photos", 6)
    data, page = compare(url, photos, tmp_path, *ask, "--language", "German")
    assert names(data, "caption") == ["smolvlm · in German", "smolvlm · plain"]
    german, english = cells(page, "Language")
    # In int8 a word may depend on the rest of its batch, and of so small a model one counts.
    assert german.startswith("German ")
    assert english == "English 100 %"
    assert cells(page, "Flags") == ["none", "6 another language"]
    (written,) = re.findall(r'<pre id="yml".*?>(.*?)</pre>', page, re.DOTALL)
    (tmp_path / "vision.yml").write_text(unescape(written))
    entries = {one["Type"]: one for one in yaml.safe_load(unescape(written))["Models"]}
    assert entries["caption"]["Prompt"] == lessons.GERMAN
    # Which six photos are taken depends on the folder's name, and so who is first.
    assert entries["labels"]["Name"] == names(data, "labels")[0]
    found = doctor(url, "--no-machine", "--vision-yml", tmp_path / "vision.yml")
    checked = [line for line in found if "vision.yml" in line]
    assert len(checked) >= 3
    assert all(line.startswith("✔") for line in checked)


def test_after_ctrl_c_the_same_command_goes_on(url: str, photos: Path, tmp_path: Path) -> None:
    ask = ("--models", "smolvlm", "--task", "caption")
    command = [*VISION, "compare", photos, *ask, "--url", url, "--output", tmp_path / "a.html"]
    variables = environment(XDG_STATE_HOME=str(tmp_path))
    process = subprocess.Popen(
        list(map(str, command)), cwd=ROOT, env=variables, stderr=subprocess.PIPE, text=True
    )
    wait_for("answers", lambda: answered(tmp_path) >= 3)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said.strip()) == (130, "The same command continues from here.")
    known = answered(tmp_path)
    assert known < PHOTOS
    _, page = compare(url, photos, tmp_path, *ask)
    assert cells(page, "From the journal") == [str(known)]
    assert answered(tmp_path) == PHOTOS


def test_a_full_disk_is_told_and_nothing_is_asked_anew_for_the_report(
    url: str, photos: Path, tmp_path: Path
) -> None:
    ask = ("--models", "shapes", "--task", "labels", "--photos", "3")
    said = vision("compare", photos, *ask, "--output", "/dev/full", VISION_URL=url,
                  XDG_STATE_HOME=str(tmp_path))  # fmt: skip
    assert said.returncode == 2
    assert said.stderr == "/dev/full cannot be written: No space left on device.\n"
    _, page = compare(url, photos, tmp_path, *ask)
    assert cells(page, "From the journal") == ["3"]


def answered(home: Path) -> int:
    """How many answers the journal has."""
    path = home / "vision-workers" / "journal.sqlite"
    if not path.exists():
        return 0
    with closing(sqlite3.connect(path)) as journal:
        try:
            (count,) = journal.execute("SELECT count(*) FROM answers").fetchone()
        except sqlite3.OperationalError:  # it is being made
            return 0
    return int(count)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--models", "opennsfw"], "opennsfw does not run here"),
        (["--models", "nobody"], "There is no model 'nobody'"),
        (["--task", "smell"], "There is no task 'smell'"),
        (["--prompts", "/nowhere"], "The prompts cannot be read"),
        (["--output", "/nowhere/a.html"], "cannot be written"),
        (["/nowhere"], "There is no file or folder"),
    ],
    ids=["stopped", "unknown", "task", "prompts", "output", "folder"],
)
def test_what_cannot_be_compared_is_said_before_anything_is_asked(
    url: str, photos: Path, tmp_path: Path, words: list[str], sentence: str
) -> None:
    said = vision("compare", photos, *words, VISION_URL=url, XDG_STATE_HOME=str(tmp_path))
    assert said.returncode == 2
    assert sentence in said.stderr
