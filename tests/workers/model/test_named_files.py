"""Rows that name their files: fetched from the hub, or put into the folder by hand."""

from pathlib import Path

import onnx
import pytest

from tests import onnx_files
from tests.conftest import plain
from tests.damage import LFS_POINTER
from tests.hub_standin import HubStandIn
from tests.model_process import ModelProcess, Outcome, Row
from tests.onnx_rows import COLOURS, ZERO_TO_ONE
from workers.model.checkpoint import find_faults_of

MODEL, LABELS = "onnx/model.onnx", "labels.txt"
CONTENTS = {
    MODEL: onnx_files.colours().SerializeToString(),
    LABELS: "\n".join(COLOURS).encode(),
    "onnx/model_int8.onnx": b"not wanted",
    "model.safetensors": b"not wanted",
    "README.md": b"not wanted",
}
LOCAL: Row = {
    "name": "colours",
    "family": "onnx",
    "files": [MODEL, LABELS],
    "parameters": {**ZERO_TO_ONE, "labels_file": LABELS},
}
ROW: Row = {**LOCAL, "source": "own/colours"}
RED = plain(255)


def write(folder: Path) -> Path:
    for name, data in CONTENTS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def folder(models: Path) -> Path:
    """The model's folder, with its files."""
    return write(models / "colours")


@pytest.fixture
def repo(hub: HubStandIn, tmp_path: Path) -> Path:
    """The repository on the hub, with these and other files."""
    hub.repos["own/colours"] = write(tmp_path / "repo")
    return tmp_path / "repo"


@pytest.mark.usefixtures("repo")
def test_only_the_files_of_the_row_are_fetched_to_where_it_names_them(
    model_process: ModelProcess, hub: HubStandIn, models: Path
) -> None:
    assert model_process.start(ROW, models, RED) == Outcome("red")
    assert sorted(hub.fetched()) == ["labels.txt", "model.onnx"]
    assert (models / "colours" / MODEL).read_bytes() == CONTENTS[MODEL]


@pytest.mark.usefixtures("repo")
def test_a_file_that_the_repository_does_not_have_is_named(
    model_process: ModelProcess, models: Path
) -> None:
    outcome = model_process.start({**ROW, "files": ["model.onnx"]}, models, RED)

    assert outcome.said == (
        "own/colours has no file model.onnx: correct `files` in the row of colours."
    )


@pytest.mark.usefixtures("folder")
def test_files_that_are_there_need_no_hub(
    model_process: ModelProcess, hub: HubStandIn, models: Path
) -> None:
    for row in (LOCAL, ROW):
        assert model_process.start(row, models, RED) == Outcome("red")
    assert hub.requests == []


@pytest.mark.parametrize(
    ("file", "data", "said"),
    [
        (MODEL, None, "onnx/model.onnx is missing. Put the file there, or name a repository"),
        (LABELS, None, "labels.txt is missing. Put the file there, or name a repository"),
        (MODEL, LFS_POINTER, "onnx/model.onnx is a pointer of git-lfs, which has not fetched"),
        (MODEL, b"\0" * 2000, "onnx/model.onnx is filled with zeros"),
        (MODEL, b"no protobuf", "model.onnx is damaged, cut off, or no ONNX file: fetch or copy"),
    ],
)
def test_without_a_source_it_is_said_which_file_is_missing_or_damaged(
    model_process: ModelProcess,
    folder: Path,
    models: Path,
    file: str,
    data: bytes | None,
    said: str,
) -> None:
    (folder / file).unlink()
    if data is not None:
        (folder / file).write_bytes(data)

    outcome = model_process.start(LOCAL, models, RED)

    assert said in outcome.said


@pytest.mark.parametrize("data", [b"", b"no protobuf", CONTENTS[MODEL][:-30]])
@pytest.mark.usefixtures("repo")
def test_a_damaged_file_is_fetched_again_and_no_other(
    model_process: ModelProcess, hub: HubStandIn, folder: Path, models: Path, data: bytes
) -> None:
    """Of the last two only onnxruntime finds out that they are damaged."""
    (folder / MODEL).write_bytes(data)

    assert model_process.start(ROW, models, RED) == Outcome("red")
    assert hub.fetched() == ["model.onnx"]


@pytest.mark.usefixtures("repo")
def test_a_row_that_does_not_fit_its_file_fetches_nothing(
    model_process: ModelProcess, hub: HubStandIn, folder: Path, models: Path
) -> None:
    (folder / LABELS).write_text("red\ngreen\n")

    outcome = model_process.start(ROW, models, RED)

    assert outcome.said.startswith("labels.txt names 2 classes, but the model has 3")
    assert hub.requests == []


def test_weights_beside_a_model_may_have_any_name(
    model_process: ModelProcess, folder: Path, models: Path
) -> None:
    onnx.save_model(
        onnx_files.colours(),
        folder / MODEL,
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    row = {**LOCAL, "files": [MODEL, "onnx/weights.bin", LABELS]}

    assert model_process.start(row, models, RED) == Outcome("red")


def test_weights_beside_a_model_may_begin_with_zeros(tmp_path: Path) -> None:
    (tmp_path / "model.onnx_data").write_bytes(bytes(4096) + b"\1")
    (tmp_path / "model.onnx").write_bytes(bytes(4096) + b"\1")

    assert find_faults_of(tmp_path, ["model.onnx_data"]) == []
    assert [fault.file for fault in find_faults_of(tmp_path, ["model.onnx"])] == ["model.onnx"]
