"""``vision run`` against a running stack: whole, resumed after kills, what it asks about."""

import collections
import contextlib
import json
import os
import pty
import re
import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.integration.client import full_queue, post
from tests.stack import API, ROOT, Stack, end, wait_for
from tests.vision.command import VISION, environment, succeeds, vision_process
from tests.vision.running import answered, caption, in_journal, photos, rows, run
from vision.runner.run import READ_AHEAD

IN_FLIGHT = 4


@pytest.fixture(scope="module")
def url(stack: Stack, api: str) -> str:
    stack.worker("fake")
    return api


def jobs(stack: Stack, model: str) -> collections.Counter[str]:
    """How often the model's workers did each request, by its id."""
    lines = stack.processes.logs(f"worker-{model}").splitlines()
    found = (json.loads(line) for line in lines if line.startswith("{") and '"job"' in line)
    return collections.Counter(
        line["request_id"] for line in found if line["event"] == "job" and line["status"] == "done"
    )


@pytest.mark.parametrize(
    ("words", "priority"), [((), "bulk"), (("--priority", "person"), "person")]
)
def test_a_run_is_bulk_work_unless_it_is_said_to_be_a_persons(
    stack: Stack, url: str, tmp_path: Path, words: tuple[str, ...], priority: str
) -> None:
    run(url, tmp_path, *photos(tmp_path, 1), "--task", "caption", *words)
    (asked,) = answered(tmp_path)
    lines = stack.processes.logs("worker-fake").splitlines()
    (job,) = (json.loads(line) for line in lines if asked in line and '"event": "job"' in line)
    assert job["priority"] == priority


def test_300_photos_are_each_answered_once_although_the_run_is_killed_three_times(
    stack: Stack, url: str, tmp_path: Path
) -> None:
    stack.worker("steady")  # which takes seconds for 300, so that none of the runs ends by itself
    photos(tmp_path / "photos", 300)
    output = tmp_path / "captions.csv"
    command = [
        *VISION, "run", str(tmp_path / "photos"), "--task", "caption", "--model", "steady",
        "--output", str(output), "--concurrency", str(IN_FLIGHT), "--url", url,
    ]  # fmt: skip
    variables = environment(XDG_STATE_HOME=str(tmp_path))

    def has_lines(count: int) -> bool:
        return output.exists() and output.read_bytes().count(b"\n") > count

    def stop(lines: int, by: signal.Signals) -> str:
        """Stop a run once the output has so many lines; return what it said."""
        with (tmp_path / "said").open("w") as said:
            process = subprocess.Popen(command, cwd=ROOT, env=variables, stderr=said)
        wait_for("photos", lambda: has_lines(lines))
        assert end(process, by) == (130 if by == signal.SIGINT else -by)
        return (tmp_path / "said").read_text()

    for lines in (20, 40, 60):
        stop(lines, signal.SIGKILL)
    assert "The same command continues from here." in stop(80, signal.SIGINT)
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr

    by_name = {Path(row["path"]).name: row["caption"] for row in rows(output)}
    assert len(rows(output)) == 300
    assert by_name == {f"{number:03}.png": caption(number) for number in range(300)}
    times, asked = jobs(stack, "steady"), answered(tmp_path)
    assert len(asked) == 300
    # Only what was under way when the run was killed is asked again: an answer may have come, and
    # the next request been sent, while the journal still waited for a busy disk.
    assert 300 <= sum(times[key] for key in asked) <= 300 + 3 * (IN_FLIGHT + READ_AHEAD)


def test_the_whole_is_written_again_from_the_journal_and_as_json(url: str, tmp_path: Path) -> None:
    photos(tmp_path / "photos", 3)
    first = run(url, tmp_path, tmp_path / "photos", "--output", tmp_path / "a.csv")
    assert "3 photos written" in first.stderr
    (row, *_) = rows(tmp_path / "a.csv")
    assert row["nsfw"] == "safe"
    assert row["models"] == "fake:7"
    again = run(url, tmp_path, tmp_path / "photos")
    assert "(0 asked)" in again.stderr
    lines = [json.loads(line) for line in again.stdout.splitlines()]
    assert [line["caption"]["text"] for line in lines] == [caption(n) for n in range(3)]
    assert set(lines[0]["models"]) == {"caption", "labels", "nsfw"}


def test_a_photo_that_changed_is_asked_about_again_and_another_prompt_too(
    url: str, tmp_path: Path
) -> None:
    (path,) = photos(tmp_path, 1)
    ask = (path, "--task", "caption", "--output", tmp_path / "out.jsonl")
    assert "(1 asked" in run(url, tmp_path, *ask).stderr
    path.touch()  # which changes nothing of the content
    assert "(0 asked" in run(url, tmp_path, *ask).stderr
    assert "(1 asked" in run(url, tmp_path, *ask, "--prompt", "look").stderr
    Image.new("RGB", (8, 8), (99, 9, 9)).save(path)
    assert "(1 asked" in run(url, tmp_path, *ask).stderr
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    texts = [json.loads(line)["caption"]["text"] for line in lines]
    assert texts == ["rgb 0 0 7", "rgb 0 0 7 look", "rgb 99 9 9"]


def test_a_photo_of_which_a_model_has_nothing_to_say_is_no_failure(
    stack: Stack, url: str, tmp_path: Path
) -> None:
    stack.worker("efficientnet-lite0")
    (path,) = photos(tmp_path, 1)
    lines = succeeds("run", path, "--task", "caption", "--model", "efficientnet-lite0",
                     VISION_URL=url, XDG_STATE_HOME=str(tmp_path))  # fmt: skip
    assert json.loads(lines)["caption"] is None
    (answer,) = in_journal(tmp_path, "SELECT answer FROM answers")
    assert json.loads(answer)["host"] == socket.gethostname()


def test_on_a_terminal_lines_of_results_stand_above_the_bar_and_are_not_broken(
    url: str, tmp_path: Path
) -> None:
    words = ("run", *photos(tmp_path / ("a long name " * 5), 3), "--model", "fake")
    said = on_terminal(*words, VISION_URL=url, XDG_STATE_HOME=str(tmp_path))
    assert "0 of 3 photos" in said
    # Each line begins where another one has ended, or where the bar has just been deleted.
    lines = re.findall(r'(?:\n|\x1b\[2K)(\{"path": .*"\})\r\n', said)
    assert sorted(json.loads(line)["caption"]["text"] for line in lines) == [
        caption(number) for number in range(3)
    ]
    assert said.count('"path"') == 3


def on_terminal(*words: object, **variables: str) -> str:
    """Run a command on a terminal, and return all that it writes there."""
    ours, its = pty.openpty()
    with subprocess.Popen(
        [*VISION, *map(str, words)],
        cwd=ROOT,
        env=environment(TERM="xterm", COLUMNS="80", **variables),
        stdin=its,
        stdout=its,
        stderr=its,
    ):
        os.close(its)
        written = b""
        with contextlib.suppress(OSError):  # which the terminal's end is
            while more := os.read(ours, 65536):
                written += more
        os.close(ours)
    return written.decode()


def test_a_dry_run_lists_what_would_be_asked(url: str, tmp_path: Path) -> None:
    first, second = photos(tmp_path, 2)
    run(url, tmp_path, first, "--task", "caption")
    said = run(url, tmp_path, tmp_path, "--task", "caption", "--dry-run")
    assert said.stdout.splitlines() == [str(second)]
    assert "1 of 2 photos would be asked about: caption of fake." in said.stderr


def test_folders_are_searched_without_hidden_ones_and_those_of_thumbnails(
    url: str, tmp_path: Path
) -> None:
    wanted = [*photos(tmp_path / "a" / "b", 1), *photos(tmp_path / "ünï", 1)]
    photos(tmp_path / ".photoprism", 1)
    photos(tmp_path / "a" / "@eaDir", 1)
    (tmp_path / "a" / "notes.txt").write_text("none")
    said = run(url, tmp_path, tmp_path, tmp_path / "a", "--dry-run")
    assert said.stdout.splitlines() == [str(path) for path in wanted]


@pytest.mark.slow
def test_a_full_queue_is_waited_for(stack: Stack, url: str, tmp_path: Path) -> None:
    photos(tmp_path / "photos", 2)
    output, before = tmp_path / "out.jsonl", refused(stack)
    with (
        ThreadPoolExecutor(1) as pool,
        full_queue(stack, lambda: post(f"{url}{API}/caption/narrow")),
    ):
        done = pool.submit(
            vision_process, "run", tmp_path / "photos", "--task", "caption", "--model", "narrow",
            "--priority", "person", "--output", output,
            VISION_URL=url, XDG_STATE_HOME=str(tmp_path),
        )  # fmt: skip
        wait_for("both refusals", lambda: len(refused(stack) - before) == 2)
    assert done.result().returncode == 0, done.result().stderr
    lines: list[dict[str, Any]] = [json.loads(line) for line in output.read_text().splitlines()]
    assert sorted(line["caption"]["text"] for line in lines) == [caption(n) for n in range(2)]
    assert answered(tmp_path) == refused(stack) - before


def refused(stack: Stack) -> set[str]:
    """The ids of the requests that found a queue full."""
    lines = stack.processes.logs("api").splitlines()
    return {json.loads(line)["request_id"] for line in lines if '"status": 429' in line}
