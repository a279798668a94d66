"""The soak test, for seconds instead of minutes."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.stack import ROOT, child_environment

pytestmark = pytest.mark.slow


def test_a_model_that_leaks_slows_down_crashes_and_hangs_fails_no_request(tmp_path: Path) -> None:
    plot = tmp_path / "soak.svg"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.soak", "--seconds", "15", "--plot", str(plot)],
        cwd=ROOT, env=child_environment(PYTHONPATH="."), capture_output=True, text=True,
        check=False, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (recycled,) = [line for line in done.stdout.splitlines() if line.startswith("| recycled")]
    _, _, requests, failed, refused, _, _, replaced, _ = [c.strip() for c in recycled.split("|")]
    assert int(requests) > 20
    assert (failed, refused) == ("0", "2")
    for why in ("memory", "crash", "hang"):
        assert why in replaced
    assert plot.stat().st_size > 10_000
