"""What `pip install .` installs: the client alone, with what it needs."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from shared.version import PRODUCT
from tests.stack import ROOT
from tests.test_locks import locked
from tests.vision.command import environment

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
IMPORTED = """
import sys, vision.app
heavy = {"torch", "numpy", "celery", "redis", "flask", "shared", "workers"} & set(sys.modules)
sys.exit(", ".join(heavy) or 0)
"""


@pytest.mark.slow
def test_it_is_installed_without_the_service_and_runs_from_any_folder(tmp_path: Path) -> None:
    copy, target = tmp_path / "checkout", tmp_path / "installed"
    copy.mkdir()
    for name in ("pyproject.toml", "vision", "shared", "api", "LICENSE"):
        (copy / name).symlink_to(ROOT / name)
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation",
         "--no-index", "--target", target, copy],
        check=True, timeout=120,
    )  # fmt: skip
    assert {path.name for path in target.iterdir() if "." not in path.name} == {"bin", "vision"}
    needed = [path.relative_to(ROOT) for path in (ROOT / "vision").rglob("*.*")]
    assert [path for path in needed if path.suffix != ".pyc" and not (target / path).exists()] == []
    done = subprocess.run(
        [target / "bin" / "vision", "--help"], cwd=tmp_path, check=False, timeout=60,
        env=environment(PYTHONPATH=str(target)), capture_output=True, text=True,
    )  # fmt: skip
    assert "config" in done.stdout, done.stderr


def test_its_commands_import_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_images_have_what_it_needs_in_a_version_that_it_takes() -> None:
    versions = locked("requirements.lock")
    for need in map(Requirement, PROJECT["dependencies"]):
        pinned = versions[need.name.lower()].removeprefix("==")
        assert need.specifier.contains(pinned), need


def test_it_has_the_version_of_the_service() -> None:
    assert PRODUCT.endswith(f"/{PROJECT['version']}")
