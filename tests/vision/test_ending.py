"""How commands end that cannot go on: Ctrl-C, and a standard output that takes nothing."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from tests.stack import ROOT, Stack, wait_for
from tests.vision.command import VISION, environment

IMPORTED = """
import pathlib, time
pathlib.Path(__file__).with_name("begun").touch()
time.sleep(60)
"""
COMMANDS = [
    ["models"], ["models", "--json"], ["config", "photoprism"], ["doctor", "--no-machine"],
    ["doctor", "--no-machine", "--json"], ["top"], ["bench", "fake", "--photos", "1"], ["--help"],
]  # fmt: skip


@pytest.fixture(scope="module")
def url(stack: Stack, api: str) -> str:
    stack.worker("fake")
    return api


def written_to(output: int | str, url: str, *words: str) -> tuple[int, str]:
    """Run a command with a standard output, or a shell's word for one; return status and errors."""
    shell = ["bash", "-c", f'"$@" {output}', "bash"] if isinstance(output, str) else []
    done = subprocess.run(
        [*shell, *VISION, *words],
        cwd=ROOT,
        env=environment(VISION_URL=url, PYTHONUNBUFFERED=""),
        stdout=output if isinstance(output, int) else None,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_standard_output_that_is_full_is_said_once(url: str, words: list[str]) -> None:
    status, said = written_to("> /dev/full", url, *words)
    assert status == 1
    assert said.splitlines()[-1] == "Standard output cannot be written: No space left on device."
    assert said.count("No space left") == 1
    assert "Traceback" not in said


def test_a_standard_output_that_is_closed_is_said_by_commands_that_need_it(
    url: str, tmp_path: Path
) -> None:
    status, said = written_to(">&-", url, "models", "--json")
    assert (status, said) == (1, "Standard output cannot be written: Bad file descriptor.\n")
    photo, table = tmp_path / "photo.png", tmp_path / "photos.csv"
    Image.new("RGB", (8, 8)).save(photo)
    ask = ("run", str(photo), "--model", "fake", "--journal", str(tmp_path / "journal"))
    status, said = written_to(">&-", url, *ask, "--output", str(table))
    assert (status, len(table.read_text().splitlines())) == (0, 2), said
    status, said = written_to(">&-", url, *ask)
    assert status == 3
    assert "standard output cannot be written: [Errno 9] Bad file descriptor." in said
    assert "Traceback" not in said


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_reader_of_standard_output_may_leave(url: str, words: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    status, said = written_to(writer, url, *words)
    os.close(writer)
    assert status == 1
    assert "Traceback" not in said
    assert "roken" not in said


def test_ctrl_c_while_packages_are_imported_ends_the_command_without_a_word(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text(IMPORTED)
    with subprocess.Popen(
        [*VISION, "models"],
        cwd=ROOT,
        env=environment(PYTHONPATH=str(tmp_path)),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_for("the import", (tmp_path / "begun").exists)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (-signal.SIGINT, "")
