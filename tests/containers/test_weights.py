"""Weights downloaded in advance, by the command in docs/docker.md."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.project import Project

pytestmark = [pytest.mark.containers, pytest.mark.timeout(600)]
FETCH = ("run", "--rm", "-T", "worker-captions", "vision", "pull")
OWNER = os.getuid() or 1234
"""If the tests run as root, neither root nor the image's own user."""


@pytest.fixture
def fetching(project: Project, tmp_path: Path) -> Iterator[Project]:
    """A stack with an empty ./models of another owner; `project` has built the images."""
    if os.getuid() == 0:
        os.chown(tmp_path, OWNER, OWNER)
    fetching = Project(
        f"vision-weights-{os.getpid()}",
        "compose.yaml", "tests/containers/compose.weights.test.yaml",
        CAPTIONS_MODEL="blip",
        PUID=str(OWNER),
        PGID=str(OWNER if os.getuid() == 0 else os.getgid()),
        WEIGHTS=str(tmp_path),
    )  # fmt: skip
    try:
        fetching.up("hub")
        yield fetching
    finally:
        fetching.compose("down", "--volumes", check=False)


def test_weights_are_fetched_ahead_and_belong_to_the_owner_of_the_folder(
    fetching: Project, tmp_path: Path
) -> None:
    fetching.compose(*FETCH)
    files = [path for path in (tmp_path / "blip").rglob("*") if path.is_file()]
    assert {"config.json", "model.safetensors"} <= {path.name for path in files}
    assert {path.stat().st_uid for path in files} == {OWNER}
    fetching.compose("rm", "--stop", "--force", "hub")
    assert "weights are available" in fetching.compose(*FETCH, merge=True)
