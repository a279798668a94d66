"""The command line in this process, which takes no time to start, or in a process of its own."""

import contextlib
import io
import os
import subprocess
import sys
from typing import NamedTuple
from unittest.mock import patch

from tests.stack import ROOT, child_environment
from vision.console import PIPED_COLUMNS, results
from vision.main import main

results.width = PIPED_COLUMNS  # whatever the terminal of the tests is
VISION = [sys.executable, "-m", "vision"]


class Done(NamedTuple):
    """How a command ended, and what it wrote."""

    returncode: int
    stdout: str
    stderr: str


def environment(**extra: str) -> dict[str, str]:
    return {**child_environment(), "COLUMNS": "200", "PYTHONPATH": str(ROOT), **extra}


def vision(*words: object, **variables: str) -> Done:
    """Run a command in this process, as its entry point does."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with (
        patch.dict(os.environ, environment(**variables), clear=True),
        patch.object(sys, "argv", ["vision", *map(str, words)]),
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
    ):
        try:
            main()
            status: object = 0
        except SystemExit as end:
            status = end.code
    return Done(int(str(status or 0)), stdout.getvalue(), stderr.getvalue())


def vision_process(*words: object, **variables: str) -> Done:
    """Run a command in a process of its own."""
    done = subprocess.run(
        [*VISION, *map(str, words)], cwd=ROOT, env=environment(**variables), capture_output=True,
        text=True, check=False, timeout=120,
    )  # fmt: skip
    return Done(done.returncode, done.stdout, done.stderr)


def succeeds(*words: object, **variables: str) -> str:
    """Run a command that must succeed; return its standard output."""
    done = vision(*words, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
