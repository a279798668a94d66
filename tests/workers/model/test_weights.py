"""Weights are fetched by the real ``huggingface_hub``, from a stand-in for the hub on loopback."""

import os
import queue
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from shared.model_spec import ModelSpec
from shared.settings import ROOT
from tests.hub_standin import XET, HubStandIn
from tests.stack import wait_for
from workers.model import weights
from workers.model.family import LoadError
from workers.model.weights import ensure_weights, is_complete, wanted_files

CHECKPOINT = ROOT / "tests" / "checkpoints" / "vit-gpt2"
ROWS = [
    {"name": "tiny", "family": "vision_encoder_decoder", "source": "own/tiny", "folder": "tiny-1"},
    {"name": "mixed", "family": "blip", "source": "own/mixed", "revision": "v1"},
    {"name": "foreign", "family": "blip", "source": "own/foreign"},
    {"name": "gone", "family": "blip", "source": "own/gone"},
]
SHARDS = '{"weight_map": {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}}'
BIN_SHARDS = '{"weight_map": {"a": "pytorch_model-1-of-1.bin"}}'


def make_repo(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubStandIn]:
    mixed = ("config.json", "model.safetensors", "pytorch_model.bin", "tf_model.h5")
    more = ("vocab.txt", "README.md", ".gitattributes", "onnx/model.onnx", "onnx/config.json")
    repos = {
        "own/tiny": CHECKPOINT,
        "own/mixed": make_repo(tmp_path / "mixed", {name: name for name in mixed + more}),
        "own/foreign": make_repo(tmp_path / "foreign", {"config.json": "{}", "model.onnx": ""}),
    }
    with HubStandIn(repos) as standin:
        yield standin


def home_of(tmp_path: Path) -> Path:
    """The home directory of the processes under test."""
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    return home


def start(tmp_path: Path, hub_url: str, model: str) -> "subprocess.Popen[str]":
    catalog = tmp_path / "models.yaml"
    catalog.write_text(yaml.safe_dump({"models": ROWS}))
    ours = ("VISION_", "HF_", "HUGGING", "XDG_")
    outside = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    environment = outside | {
        "HF_ENDPOINT": hub_url,
        "HOME": str(home_of(tmp_path)),
        "NO_PROXY": "127.0.0.1",
        "PYTHONPATH": str(ROOT),
        "VISION_CATALOG": str(catalog),
        "VISION_MODELS_DIR": str(tmp_path / "models"),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "workers.model.weights", model],
        env=environment,
        cwd=tmp_path,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def fetch(tmp_path: Path, hub_url: str, model: str) -> tuple[int, str]:
    """Run ``python -m workers.model.weights MODEL``; return its exit code and what it said."""
    with start(tmp_path, hub_url, model) as process:
        said, _ = process.communicate(timeout=60)
    return process.returncode, said


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_what_the_model_needs_is_fetched_and_nothing_else(tmp_path: Path, hub: HubStandIn) -> None:
    code, said = fetch(tmp_path, hub.url, "mixed")

    assert code == 0, said
    wanted = ["README.md", "config.json", "model.safetensors", "vocab.txt"]
    assert sorted(hub.fetched()) == wanted
    assert contents(tmp_path / "models" / "mixed") == {name: name.encode() for name in wanted}
    assert ("GET", "/api/models/own/mixed/revision/v1") in hub.requests


def test_a_download_that_is_cut_off_leaves_no_half_model_and_is_finished_by_the_next_run(
    tmp_path: Path, hub: HubStandIn
) -> None:
    folder = tmp_path / "models" / "tiny-1"
    hub.cuts = {"model.safetensors": 300_000}
    code, said = fetch(tmp_path, hub.url, "tiny")

    assert code != 0
    assert "Cannot fetch own/tiny into" in said
    assert "Traceback" not in said
    assert not folder.exists()

    hub.cuts = {}
    code, said = fetch(tmp_path, hub.url, "tiny")

    assert code == 0, said
    assert contents(folder) == contents(CHECKPOINT)
    assert hub.fetched().count("vocab.json") == 1


def unfinished(partial: Path) -> list[Path]:
    return list(partial.rglob("*.incomplete"))


def test_a_fetch_that_is_killed_leaves_what_is_complete_and_the_next_one_clears_the_rest(
    tmp_path: Path, hub: HubStandIn
) -> None:
    folder, partial = tmp_path / "models" / "tiny-1", tmp_path / "models" / "tiny-1.partial"
    hub.holds = {"model.safetensors": 300_000}

    def mid_file() -> list[Path] | None:
        """The one file that is being fetched, once all others are there."""
        one = [path for path in unfinished(partial) if path not in left]
        if len(one) != 1 or len(contents(partial)) != len(contents(CHECKPOINT)) - 1:
            return None
        return one

    left: list[Path] = []
    with start(tmp_path, hub.url, "tiny") as killed:
        left = wait_for("a file to be fetched", mid_file, 30)
        killed.kill()
    assert unfinished(partial) == left

    with start(tmp_path, hub.url, "tiny") as process:
        assert wait_for("the file to be fetched anew", mid_file, 30) == unfinished(partial)
        hub.go_on.set()
        said, _ = process.communicate(timeout=60)

    assert process.returncode == 0, said
    assert contents(folder) == contents(CHECKPOINT)
    assert hub.fetched().count("vocab.json") == 1
    assert sorted(path.name for path in folder.parent.iterdir()) == ["tiny-1", "tiny-1.lock"]


def test_nothing_is_written_outside_the_folder_of_models(tmp_path: Path, hub: HubStandIn) -> None:
    code, said = fetch(tmp_path, hub.url, "tiny")

    assert code == 0, said
    assert list(home_of(tmp_path).rglob("*")) == []
    assert not any(XET in path for _, path in hub.requests)


def test_progress_ends_at_100_percent_whatever_was_there_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "REPORT_S", 0.01)
    make_repo(tmp_path, {"model.safetensors": "x" * 300, ".cache/a.1.incomplete": "x" * 50})
    spec = ModelSpec(name="tiny", family="blip", source="own/tiny")
    said: queue.Queue[str] = queue.Queue()

    with weights._Progress(tmp_path, {"model.safetensors": 100}, spec, said.put):
        assert said.get(timeout=10).startswith("100 % ")


def test_a_model_that_is_there_is_used_without_asking_the_hub(
    tmp_path: Path, hub: HubStandIn
) -> None:
    shutil.copytree(CHECKPOINT, tmp_path / "models" / "tiny-1")

    code, said = fetch(tmp_path, hub.url, "tiny")

    assert code == 0, said
    assert hub.requests == []


def test_a_folder_in_which_files_are_missing_is_completed(tmp_path: Path, hub: HubStandIn) -> None:
    folder = make_repo(tmp_path / "models" / "tiny-1", {"config.json": "{}"})

    code, said = fetch(tmp_path, hub.url, "tiny")

    assert code == 0, said
    assert contents(folder) == contents(CHECKPOINT)


def test_two_workers_that_start_at_once_fetch_once(tmp_path: Path, hub: HubStandIn) -> None:
    with start(tmp_path, hub.url, "tiny") as one, start(tmp_path, hub.url, "tiny") as other:
        said = one.communicate(timeout=60)[0] + other.communicate(timeout=60)[0]

    assert (one.returncode, other.returncode) == (0, 0), said
    assert sorted(hub.fetched()) == sorted(contents(CHECKPOINT))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        pytest.param("gone", r"own/gone.*Repository Not Found", id="unknown-repository"),
        pytest.param("foreign", "own/foreign holds no weights in a format", id="foreign-format"),
        pytest.param("nobody", "There is no model 'nobody'", id="not-in-the-catalogue"),
    ],
)
def test_what_cannot_be_fetched_is_told_in_a_sentence(
    tmp_path: Path, hub: HubStandIn, model: str, message: str
) -> None:
    code, said = fetch(tmp_path, hub.url, model)

    assert code != 0
    assert message.partition(".*")[0] in said
    assert message.rpartition(".*")[2] in said
    assert "Traceback" not in said
    assert not (tmp_path / "models" / model).exists()


def test_a_hub_that_cannot_be_reached_is_told_in_a_sentence(tmp_path: Path) -> None:
    with socket.socket() as nobody_listens:
        nobody_listens.bind(("127.0.0.1", 0))
        port = nobody_listens.getsockname()[1]

        code, said = fetch(tmp_path, f"http://127.0.0.1:{port}", "tiny")

    assert code != 0
    assert "Cannot fetch own/tiny into" in said
    assert "Check the network" in said
    assert "Traceback" not in said


def test_a_folder_of_models_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file where the folder should be")
    spec = ModelSpec(name="tiny", family="blip", source="own/tiny")

    with pytest.raises(LoadError, match=f"Cannot fetch own/tiny into {tmp_path}/models/tiny"):
        ensure_weights(spec, tmp_path / "models", lambda _: None)


@pytest.mark.parametrize(
    ("files", "complete"),
    [
        pytest.param({}, False, id="empty"),
        pytest.param({"config.json": "{}"}, False, id="no-weights"),
        pytest.param({"model.safetensors": ""}, False, id="no-configuration"),
        pytest.param({"config.json": "{}", "model.safetensors": ""}, True, id="safetensors"),
        pytest.param({"config.json": "{}", "pytorch_model.bin": ""}, True, id="bin"),
        pytest.param(
            {"config.json": "{}", "model.safetensors.index.json": SHARDS}, False, id="no-shards"
        ),
        pytest.param(
            {
                "config.json": "{}",
                "model.safetensors.index.json": SHARDS,
                "model-1-of-2.safetensors": "",
            },
            False,
            id="a-shard-missing",
        ),
        pytest.param(
            {
                "config.json": "{}",
                "model.safetensors.index.json": SHARDS,
                "model-1-of-2.safetensors": "",
                "model-2-of-2.safetensors": "",
            },
            True,
            id="all-shards",
        ),
        pytest.param(
            {"config.json": "{}", "model.safetensors.index.json": SHARDS[:9]},
            False,
            id="damaged-index",
        ),
        pytest.param(
            {
                "config.json": "{}",
                "model.safetensors": "",
                "pytorch_model.bin.index.json": BIN_SHARDS,
            },
            True,
            id="index-of-the-format-that-was-not-chosen",
        ),
    ],
)
def test_a_folder_is_complete_when_configuration_and_all_weights_are_there(
    tmp_path: Path, files: dict[str, str], *, complete: bool
) -> None:
    make_repo(tmp_path, files)

    assert is_complete(tmp_path) is complete


@pytest.mark.parametrize(
    ("weights", "chosen"),
    [
        pytest.param("model.safetensors pytorch_model.bin", "model.safetensors", id="safetensors"),
        pytest.param("pytorch_model.bin flax_model.msgpack", "pytorch_model.bin", id="only-bin"),
        pytest.param(
            "model-1-of-2.safetensors model-2-of-2.safetensors pytorch_model.bin",
            "model-1-of-2.safetensors model-2-of-2.safetensors",
            id="shards",
        ),
        pytest.param(
            "pytorch_model-1-of-2.bin pytorch_model-2-of-2.bin",
            "pytorch_model-1-of-2.bin pytorch_model-2-of-2.bin",
            id="bin-shards",
        ),
        pytest.param("tf_model.h5 model.onnx rust_model.ot", "", id="foreign"),
        pytest.param("fp16/model.safetensors onnx/model.onnx", "", id="in-folders"),
        pytest.param("optimizer.pt training_args.bin model.fp16.safetensors", "", id="by-products"),
    ],
)
def test_the_best_format_of_the_weights_is_chosen(weights: str, chosen: str) -> None:
    texts = ["config.json", "tokenizer.json", "vocab.txt", "spiece.model", "LICENSE"]

    names = wanted_files([*texts, *weights.split(), ".gitattributes", "demo.py", "cat.jpg"])

    assert names == sorted([*texts, *chosen.split()])
