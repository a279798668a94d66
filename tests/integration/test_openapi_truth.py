"""The OpenAPI document is true: schemathesis finds nothing that contradicts it.

It sends requests that the document allows and requests that it forbids, to each operation, and
compares status, type and content of the replies. ``tests/schemathesis.toml`` and its hooks say what
a document cannot say, so that nothing has to be excepted here.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.stack import ROOT, Stack

CONFIG = ROOT / "tests" / "schemathesis.toml"


@pytest.fixture(scope="module")
def base(stack: Stack) -> str:
    stack.worker("fake")
    return stack.api(VISION_MODELS="fake", VISION_TIMEOUT="10")


def findings(base: str, folder: Path, *options: str) -> str:
    """Return what schemathesis has to say, or nothing if it found nothing."""
    argv = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run"]
    done = subprocess.run(
        [*argv, f"{base}/openapi.json", "--continue-on-failure", *options],
        cwd=folder,
        env={"PATH": "", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr if done.returncode else ""


def test_schemathesis_finds_nothing_in_some_cases(base: str, tmp_path: Path) -> None:
    found = findings(base, tmp_path, "--seed", "1", "--phases", "fuzzing", "--max-examples", "4")
    assert not found, found


@pytest.mark.slow
@pytest.mark.parametrize("seed", ["2", "3"])
def test_schemathesis_finds_nothing_in_thousands_of_cases(
    base: str, tmp_path: Path, seed: str
) -> None:
    options = ("--seed", seed, "--phases", "coverage,fuzzing", "--max-time", "60")
    found = findings(base, tmp_path, *options, "--max-examples", "100")
    assert not found, found
