"""The command line as a process of its own, as people and scripts run it."""

import subprocess
import sys
from pathlib import Path

from tests.stack import ROOT, child_environment

VISION = [sys.executable, "-m", "vision"]


def environment(**extra: str) -> dict[str, str]:
    return {**child_environment(), "COLUMNS": "200", "PYTHONPATH": str(ROOT), **extra}


def vision(
    *words: object, cwd: Path = ROOT, **variables: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*VISION, *map(str, words)], cwd=cwd, env=environment(**variables), capture_output=True,
        text=True, check=False, timeout=120,
    )  # fmt: skip


def succeeds(*words: object, cwd: Path = ROOT, **variables: str) -> str:
    """Run a command that must succeed; return its standard output."""
    done = vision(*words, cwd=cwd, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
