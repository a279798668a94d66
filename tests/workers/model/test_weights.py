"""Fetching weights with the real ``huggingface_hub`` from a stand-in for the hub."""

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
from tests.damage import LFS_POINTER, LOGIN_PAGE, safetensors
from tests.hub_standin import XET, HubStandIn
from tests.stack import wait_for
from workers.model import hub as hub_client
from workers.model.family import LoadError
from workers.model.weights import ensure_weights

CHECKPOINT = ROOT / "tests" / "checkpoints" / "vit-gpt2"
ROWS = [
    {"name": "tiny", "family": "vision_encoder_decoder", "source": "own/tiny", "folder": "tiny-1"},
    {"name": "mixed", "family": "blip", "source": "own/mixed", "revision": "v1"},
    {"name": "foreign", "family": "blip", "source": "own/foreign"},
    {"name": "gone", "family": "blip", "source": "own/gone"},
]
MIXED = {
    "config.json": b'{"model_type": "blip"}',
    "preprocessor_config.json": b'{"image_processor_type": "BlipImageProcessor"}',
    "model.safetensors": safetensors("a"),
    "pytorch_model.bin": b"not wanted",
    "tf_model.h5": b"not wanted",
    "vocab.txt": b"a\ncat\n",
    "chat_template.jinja": b"{{ messages }}",
    "README.md": b"# Mixed",
    ".gitattributes": b"not wanted",
    "onnx/model.onnx": b"not wanted",
    "onnx/config.json": b"not wanted",
}


def make_repo(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubStandIn]:
    repos = {
        "own/tiny": CHECKPOINT,
        "own/mixed": make_repo(tmp_path / "mixed", MIXED),
        "own/foreign": make_repo(tmp_path / "foreign", {"config.json": b"{}", "model.onnx": b""}),
    }
    with HubStandIn(repos) as standin:
        yield standin


def home_of(tmp_path: Path) -> Path:
    """Return the home directory of the processes under test."""
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
    """Run ``python -m workers.model.weights MODEL``; return its exit status and output."""
    with start(tmp_path, hub_url, model) as process:
        output, _ = process.communicate(timeout=60)
    return process.returncode, output


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_only_the_files_that_the_model_needs_are_fetched(tmp_path: Path, hub: HubStandIn) -> None:
    code, output = fetch(tmp_path, hub.url, "mixed")

    assert code == 0, output
    wanted = {n: data for n, data in MIXED.items() if "/" not in n and data != b"not wanted"}
    assert sorted(hub.fetched()) == sorted(wanted)
    assert contents(tmp_path / "models" / "mixed") == wanted
    assert ("GET", "/api/models/own/mixed/revision/v1") in hub.requests


def test_an_interrupted_download_leaves_no_half_model_and_is_finished_by_the_next_run(
    tmp_path: Path, hub: HubStandIn
) -> None:
    folder = tmp_path / "models" / "tiny-1"
    hub.cuts = {"model.safetensors": 300_000}
    code, output = fetch(tmp_path, hub.url, "tiny")

    assert code != 0
    assert "Cannot fetch own/tiny into" in output
    assert "Traceback" not in output
    assert not folder.exists()

    hub.cuts = {}
    code, output = fetch(tmp_path, hub.url, "tiny")

    assert code == 0, output
    assert contents(folder) == contents(CHECKPOINT)
    assert hub.fetched().count("vocab.json") == 1


def unfinished(partial: Path) -> list[Path]:
    return list(partial.rglob("*.incomplete"))


def test_a_killed_download_leaves_complete_files_and_the_next_run_deletes_the_others(
    tmp_path: Path, hub: HubStandIn
) -> None:
    folder, partial = tmp_path / "models" / "tiny-1", tmp_path / "models" / "tiny-1.partial"
    hub.holds = {"model.safetensors": 300_000}

    def mid_file() -> list[Path] | None:
        """Return the file that is being fetched, once all others are complete."""
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
        output, _ = process.communicate(timeout=60)

    assert process.returncode == 0, output
    assert contents(folder) == contents(CHECKPOINT)
    assert hub.fetched().count("vocab.json") == 1
    assert sorted(path.name for path in folder.parent.iterdir()) == ["tiny-1", "tiny-1.lock"]


def test_nothing_is_written_outside_the_models_folder(tmp_path: Path, hub: HubStandIn) -> None:
    code, output = fetch(tmp_path, hub.url, "tiny")

    assert code == 0, output
    assert list(home_of(tmp_path).rglob("*")) == []
    assert not any(XET in path for _, path in hub.requests)


def test_progress_never_exceeds_100_percent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_client, "REPORT_S", 0.01)
    make_repo(tmp_path, {"model.safetensors": bytes(300), ".cache/a.1.incomplete": bytes(50)})
    spec = ModelSpec(name="tiny", family="blip", source="own/tiny")
    output: queue.Queue[str] = queue.Queue()

    with hub_client.Progress(tmp_path, {"model.safetensors": 100}, spec, output.put):
        assert output.get(timeout=10).startswith("100 % ")


def test_complete_weights_are_used_without_a_request_to_the_hub(
    tmp_path: Path, hub: HubStandIn
) -> None:
    shutil.copytree(CHECKPOINT, tmp_path / "models" / "tiny-1")

    code, output = fetch(tmp_path, hub.url, "tiny")

    assert code == 0, output
    assert hub.requests == []


def test_a_folder_in_which_files_are_missing_is_completed(tmp_path: Path, hub: HubStandIn) -> None:
    folder = make_repo(tmp_path / "models" / "tiny-1", {"config.json": b"{}"})

    code, output = fetch(tmp_path, hub.url, "tiny")

    assert code == 0, output
    assert contents(folder) == contents(CHECKPOINT)


def test_a_damaged_file_is_fetched_again(tmp_path: Path, hub: HubStandIn) -> None:
    folder = tmp_path / "models" / "tiny-1"
    shutil.copytree(CHECKPOINT, folder)
    (folder / "model.safetensors").write_bytes(LFS_POINTER)

    code, output = fetch(tmp_path, hub.url, "tiny")

    assert code == 0, output
    assert "model.safetensors is a pointer of git-lfs" in output
    assert contents(folder) == contents(CHECKPOINT)
    assert hub.fetched() == ["model.safetensors"]


def test_a_damaged_file_that_cannot_be_fetched_is_told_in_a_sentence(
    tmp_path: Path, hub: HubStandIn
) -> None:
    hub.repos.clear()
    folder = tmp_path / "models" / "tiny-1"
    shutil.copytree(CHECKPOINT, folder)
    (folder / "config.json").write_bytes(LOGIN_PAGE)

    code, output = fetch(tmp_path, hub.url, "tiny")

    assert code != 0
    assert f"{folder} cannot be used: config.json is a web page, such as the login page" in output
    assert "The hub refused own/tiny" in output
    assert "Traceback" not in output


def test_two_workers_that_start_at_once_fetch_once(tmp_path: Path, hub: HubStandIn) -> None:
    with start(tmp_path, hub.url, "tiny") as one, start(tmp_path, hub.url, "tiny") as other:
        output = one.communicate(timeout=60)[0] + other.communicate(timeout=60)[0]

    assert (one.returncode, other.returncode) == (0, 0), output
    assert sorted(hub.fetched()) == sorted(contents(CHECKPOINT))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        pytest.param("gone", r"own/gone.*Repository Not Found", id="unknown-repository"),
        pytest.param("foreign", "own/foreign holds no weights in a format", id="foreign-format"),
        pytest.param("nobody", "There is no model 'nobody'", id="not-in-the-catalogue"),
    ],
)
def test_a_failed_download_is_reported_in_a_sentence(
    tmp_path: Path, hub: HubStandIn, model: str, message: str
) -> None:
    code, output = fetch(tmp_path, hub.url, model)

    assert code != 0
    assert message.partition(".*")[0] in output
    assert message.rpartition(".*")[2] in output
    assert "Traceback" not in output
    assert not (tmp_path / "models" / model).exists()


def test_an_unreachable_hub_is_reported_in_a_sentence(tmp_path: Path) -> None:
    with socket.socket() as not_listening:
        not_listening.bind(("127.0.0.1", 0))
        port = not_listening.getsockname()[1]

        code, output = fetch(tmp_path, f"http://127.0.0.1:{port}", "tiny")

    assert code != 0
    assert "Cannot fetch own/tiny into" in output
    assert "Check the network" in output
    assert "Traceback" not in output


def test_an_unwritable_models_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file where the folder should be")
    spec = ModelSpec(name="tiny", family="blip", source="own/tiny")

    with pytest.raises(LoadError, match=f"Cannot fetch own/tiny into {tmp_path}/models/tiny"):
        ensure_weights(spec, tmp_path / "models", lambda _: None)
