"""``python -m workers.model.pull`` in a process of its own, as ``make models`` runs it."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import yaml

from shared.settings import ROOT

CHECKPOINT = ROOT / "tests" / "checkpoints" / "vit-gpt2"
ROWS = [
    {"name": "tiny", "family": "vision_encoder_decoder", "source": "own/tiny", "folder": "tiny-1"},
    {"name": "mixed", "family": "blip", "source": "own/mixed", "revision": "v1"},
    {"name": "foreign", "family": "blip", "source": "own/foreign"},
    {"name": "gone", "family": "blip", "source": "own/gone"},
]
OURS = ("VISION_", "HF_", "HUGGING", "XDG_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
"""Beginnings of the variables that a test decides on."""


def start(
    tmp_path: Path,
    hub_url: str,
    model: str,
    *,
    before: Callable[[], None] | None = None,
    output: int = subprocess.PIPE,
    **variables: str,
) -> "subprocess.Popen[str]":
    """Begin to fetch a model of :data:`ROWS` into ``tmp_path / "models"``.

    Args:
        tmp_path: folder of the test.
        hub_url: where the hub is.
        model: which one.
        before: called in the new process before its program runs.
        output: where it writes to, as for :class:`subprocess.Popen`.
        variables: of its environment.
    """
    catalog = tmp_path / "models.yaml"
    catalog.write_text(yaml.safe_dump({"models": ROWS}))
    outside = {
        name: value for name, value in os.environ.items() if not name.upper().startswith(OURS)
    }
    environment = outside | {
        "HF_ENDPOINT": hub_url,
        "HOME": str(home_of(tmp_path)),
        "NO_PROXY": "127.0.0.1",
        "PYTHONPATH": str(ROOT),
        "VISION_CATALOG": str(catalog),
        "VISION_MODELS_DIR": str(tmp_path / "models"),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "workers.model.pull", model],
        env=environment | variables,
        cwd=tmp_path,
        text=True,
        stdout=output,
        stderr=subprocess.STDOUT,
        preexec_fn=before,  # noqa: PLW1509 - no thread runs while tests start it
    )


def fetch(
    tmp_path: Path,
    hub_url: str,
    model: str,
    *,
    before: Callable[[], None] | None = None,
    **variables: str,
) -> tuple[int, str]:
    """Fetch a model as :func:`start` does; return the exit status and what was written."""
    with start(
        tmp_path, hub_url, model, before=before, output=subprocess.PIPE, **variables
    ) as process:
        output, _ = process.communicate(timeout=60)
    return process.returncode, output


def home_of(tmp_path: Path) -> Path:
    """Return the home directory of the processes under test."""
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    return home


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def make_repo(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write files, in folders if their names say so."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder
