"""Downloads that are interrupted, kept offline, sent through a proxy, or have no room."""

import ctypes
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.damage import safetensors
from tests.hub_standin import HubStandIn
from tests.stack import wait_for
from tests.workers.model.fetching import CHECKPOINT, contents, fetch, start

WEIGHTS = "model.safetensors"
SENT = 12_000_000
"""Bytes of the weights that arrive before a download is killed."""
CHUNK = 10 << 20
"""The hub's client writes no fewer bytes at a time, but for the last ones."""
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1
"""Of prctl(2) and capabilities(7)."""


@pytest.fixture
def hub() -> Iterator[HubStandIn]:
    with HubStandIn({"own/tiny": CHECKPOINT}) as standin:
        yield standin


def without_rights_of_root() -> None:
    """Have permissions of files count for this process, too, if root runs it."""
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE)


def unfinished(folder: Path) -> list[Path]:
    return list(folder.glob("*.incomplete"))


def large_repo(folder: Path) -> Path:
    """Make a repository whose weights take long enough to be interrupted."""
    shutil.copytree(CHECKPOINT, folder)
    (folder / WEIGHTS).write_bytes(safetensors("a", size=2 * SENT))
    return folder


def kill_while_weights_arrive(tmp_path: Path, hub: HubStandIn) -> Path:
    """Return what a killed process leaves of the weights, when all other files are complete."""
    hub.repos["own/tiny"] = large_repo(tmp_path / "large")
    hub.holds = {WEIGHTS: SENT}
    partial = tmp_path / "models" / "tiny-1.partial"

    def has_all_but_weights() -> Path | None:
        left = unfinished(partial)
        there = len(contents(partial)) == len(contents(CHECKPOINT)) if partial.exists() else False
        return left[0] if there and len(left) == 1 and left[0].stat().st_size == CHUNK else None

    with start(tmp_path, hub.url, "tiny") as killed:
        left = wait_for("a part of the weights", has_all_but_weights)
        killed.kill()
    hub.holds = {}
    hub.go_on.set()
    return left


def test_a_killed_download_goes_on_where_it_stopped(tmp_path: Path, hub: HubStandIn) -> None:
    kill_while_weights_arrive(tmp_path, hub)

    code, output = fetch(tmp_path, hub.url, "tiny")

    folder = tmp_path / "models" / "tiny-1"
    assert code == 0, output
    assert contents(folder) == contents(hub.repos["own/tiny"])
    assert [first for name, first in hub.starts if name == WEIGHTS] == [0, CHUNK]
    assert hub.fetched().count("vocab.json") == 1
    assert sorted(path.name for path in folder.parent.iterdir()) == ["tiny-1", "tiny-1.lock"]


@pytest.mark.slow
def test_a_part_that_an_interruption_damaged_is_fetched_from_the_beginning(
    tmp_path: Path, hub: HubStandIn
) -> None:
    left = kill_while_weights_arrive(tmp_path, hub)
    left.write_bytes(bytes(left.stat().st_size))

    code, output = fetch(tmp_path, hub.url, "tiny")

    assert code == 0, output
    assert contents(tmp_path / "models" / "tiny-1") == contents(hub.repos["own/tiny"])
    assert [first for name, first in hub.starts if name == WEIGHTS] == [0, CHUNK, 0]


@pytest.mark.slow
def test_what_is_left_of_another_revision_is_deleted(tmp_path: Path, hub: HubStandIn) -> None:
    partial = tmp_path / "models" / "tiny-1.partial"
    partial.mkdir(parents=True)
    (partial / f"{WEIGHTS}.0123.incomplete").write_bytes(b"other weights")
    (partial / "config.json").write_bytes(b'{"of": "another revision"}')

    code, output = fetch(tmp_path, hub.url, "tiny")

    assert code == 0, output
    assert contents(tmp_path / "models" / "tiny-1") == contents(CHECKPOINT)


def test_a_download_that_the_disk_has_no_room_for_is_not_begun(
    tmp_path: Path, hub: HubStandIn
) -> None:
    hub.sizes = {WEIGHTS: 10**18}

    code, output = fetch(tmp_path, hub.url, "tiny")

    assert code != 0
    assert "own/tiny takes another 1000000000.0 GB in" in output
    assert "free some space there, or name a folder on another disk in VISION_MODELS_DIR" in output
    assert hub.fetched() == []


@pytest.mark.slow
def test_a_download_says_its_size_before_it_begins(tmp_path: Path, hub: HubStandIn) -> None:
    _, output = fetch(tmp_path, hub.url, "tiny", VISION_LOG_FORMAT="json")

    total = sum(map(len, contents(CHECKPOINT).values()))
    assert f"megabytes={round(total / 1e6)}" in output
    assert output.index("download begins") < output.index("weights fetched")


def test_without_the_network_what_is_there_is_used(tmp_path: Path, hub: HubStandIn) -> None:
    shutil.copytree(CHECKPOINT, tmp_path / "models" / "tiny-1")

    code, output = fetch(tmp_path, hub.url, "tiny", HF_HUB_OFFLINE="1")

    assert code == 0, output


def test_without_the_network_what_is_missing_is_told(tmp_path: Path, hub: HubStandIn) -> None:
    code, output = fetch(tmp_path, hub.url, "tiny", HF_HUB_OFFLINE="1")

    assert code != 0
    assert (
        f"own/tiny is not fetched into {tmp_path}/models/tiny-1, because HF_HUB_OFFLINE" in output
    )
    assert hub.requests == []


@pytest.mark.slow
def test_the_hub_is_reached_through_a_proxy(tmp_path: Path, hub: HubStandIn) -> None:
    code, output = fetch(tmp_path, "http://hub.invalid", "tiny", HTTP_PROXY=hub.url)

    assert code == 0, output
    assert contents(tmp_path / "models" / "tiny-1") == contents(CHECKPOINT)


@pytest.mark.slow
def test_a_folder_that_cannot_be_written_is_used_as_it_is(tmp_path: Path, hub: HubStandIn) -> None:
    models = tmp_path / "models"
    shutil.copytree(CHECKPOINT, models / "tiny-1")
    (models / "tiny-1").chmod(0o555)
    models.chmod(0o555)
    try:
        code, output = fetch(tmp_path, hub.url, "tiny", before=without_rights_of_root)
    finally:
        models.chmod(0o755)
        (models / "tiny-1").chmod(0o755)

    assert code == 0, output
    assert [path.name for path in models.iterdir()] == ["tiny-1"]


def test_a_folder_that_lacks_files_and_cannot_be_written_is_named(
    tmp_path: Path, hub: HubStandIn
) -> None:
    models = tmp_path / "models"
    shutil.copytree(CHECKPOINT, models / "tiny-1", ignore=shutil.ignore_patterns(WEIGHTS))
    models.chmod(0o555)
    try:
        code, output = fetch(tmp_path, hub.url, "tiny", before=without_rights_of_root)
    finally:
        models.chmod(0o755)

    assert code != 0
    assert f"{WEIGHTS} is missing. Cannot fetch own/tiny into {models}/tiny-1: " in output
    assert "Permission denied" in output
    assert "Let the worker's user read and write it, or put the files there by hand." in output
