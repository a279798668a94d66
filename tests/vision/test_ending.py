"""How commands end that cannot go on: Ctrl-C, and a standard output that takes nothing."""

import signal
import subprocess
from pathlib import Path

from tests.stack import ROOT, wait_for
from tests.vision.command import VISION, environment

IMPORTED = """
import pathlib, time
pathlib.Path(__file__).with_name("begun").touch()
time.sleep(60)
"""


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
