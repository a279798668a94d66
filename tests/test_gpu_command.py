"""The tests and benchmarks for GPUs run on machines that have what workers need, and a pytest."""

import os
import subprocess
import sys
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

BENCHMARKS = sorted(
    f"benchmarks.gpu.{path.stem}" for path in (ROOT / "benchmarks/gpu").glob("[!_]*.py")
)


@pytest.fixture
def as_on_a_gpu_machine(tmp_path: Path) -> dict[str, str]:
    """Return an environment without the packages of tests and checks; pytest has no plugins."""
    lines = (ROOT / "tests/requirements.txt").read_text().splitlines()
    packages = {line.partition("==")[0] for line in lines if "==" in line} - {"pytest"}
    modules = {package.replace("-", "_") for package in packages}
    modules |= {"xdist", "importlinter"}  # named otherwise than their packages
    hidden = f"import sys\nsys.modules.update(dict.fromkeys({modules}))\n"  # as if not installed
    (tmp_path / "sitecustomize.py").write_text(hidden)
    return {**os.environ, "PYTHONPATH": str(tmp_path), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def test_the_tests_are_found_without_our_plugins(as_on_a_gpu_machine: dict[str, str]) -> None:
    argv = command(["--collect-only", "-q", "tests/gpu"])
    done = subprocess.run(
        argv, cwd=ROOT, env=as_on_a_gpu_machine, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "test_captions_are_those_of_the_cpu" in done.stdout


def test_the_benchmarks_need_nothing_that_only_tests_have(
    as_on_a_gpu_machine: dict[str, str],
) -> None:
    argv = [sys.executable, "-c", f"import {', '.join(BENCHMARKS)}"]
    done = subprocess.run(
        argv, cwd=ROOT, env=as_on_a_gpu_machine, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


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
