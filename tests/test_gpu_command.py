"""`make test-gpu` must run with the pytest that a GPU machine has, whatever its plugins are."""

import os
import subprocess
from pathlib import Path

import pytest

from benchmarks.gpu.tests import command
from shared.settings import ROOT

PLUGIN = """
import warnings

def pytest_pycollect_makemodule(module_path, parent):
    warnings.warn("pkg_resources is deprecated as an API", UserWarning)

def pytest_addoption(parser):
    parser.addini("timeout", "as a pytest-timeout of another version has it", type="float")
"""


@pytest.mark.slow
def test_the_tests_are_found_with_plugins_of_other_versions(tmp_path: Path) -> None:
    (tmp_path / "other_plugin.py").write_text(PLUGIN)
    argv = command(["-p", "no:timeout", "-p", "other_plugin", "--collect-only", "tests/gpu"])

    done = subprocess.run(
        argv,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "pkg_resources is deprecated" in done.stdout
    assert "test_captions_are_those_of_the_cpu" in done.stdout
