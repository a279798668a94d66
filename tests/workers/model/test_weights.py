"""Fetching weights with the real ``huggingface_hub`` from a stand-in for the hub."""

import queue
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.ports import free_port
from shared.model_spec import ModelSpec
from tests.damage import LFS_POINTER, LOGIN_PAGE, safetensors
from tests.hub_standin import HubStandIn
from tests.workers.model.fetching import CHECKPOINT, contents, fetch, home_of, make_repo, start
from workers.model import hub as hub_client
from workers.model.family import LoadError
from workers.model.weights import ensure_weights

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
    "model-00001-of-00002.safetensors": b"not wanted",
    "model-00002-of-00002.safetensors": b"not wanted",
    "model.safetensors.index.json": b"not wanted",
    "model.fp16.safetensors": b"not wanted",
    "consolidated.safetensors": b"not wanted",
    "model-Q4_K_M.gguf": b"not wanted",
    "onnx/model.onnx": b"not wanted",
    "onnx/config.json": b"not wanted",
    "openvino/openvino_model.bin": b"not wanted",
    "original/consolidated.00.pth": b"not wanted",
}


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubStandIn]:
    repos = {
        "own/tiny": CHECKPOINT,
        "own/mixed": make_repo(tmp_path / "mixed", MIXED),
        "own/foreign": make_repo(tmp_path / "foreign", {"config.json": b"{}", "model.onnx": b""}),
    }
    with HubStandIn(repos) as standin:
        standin.tags.add("v1")
        yield standin


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


@pytest.mark.slow
def test_nothing_is_written_outside_the_models_folder(tmp_path: Path, hub: HubStandIn) -> None:
    code, output = fetch(tmp_path, hub.url, "tiny")

    assert code == 0, output
    assert list(home_of(tmp_path).rglob("*")) == []


def test_progress_never_exceeds_100_percent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_client, "REPORT_S", 0.01)
    make_repo(tmp_path, {"model.safetensors": bytes(300), "a.1.incomplete": bytes(50)})
    output: queue.Queue[hub_client.Fetched] = queue.Queue()

    with hub_client.Watch(tmp_path, 100, "own/tiny", output.put):
        assert str(output.get(timeout=10)).startswith("100 % ")


def test_complete_weights_are_used_without_a_request_to_the_hub(
    tmp_path: Path, hub: HubStandIn
) -> None:
    shutil.copytree(CHECKPOINT, tmp_path / "models" / "tiny-1")

    code, output = fetch(tmp_path, hub.url, "tiny")

    assert code == 0, output
    assert hub.requests == []


@pytest.mark.slow
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
    assert "The hub knows no public own/tiny: check `source` in the row of tiny" in output
    assert "Traceback" not in output


@pytest.mark.slow
def test_two_workers_that_start_at_once_fetch_once(tmp_path: Path, hub: HubStandIn) -> None:
    with start(tmp_path, hub.url, "tiny") as one, start(tmp_path, hub.url, "tiny") as other:
        output = one.communicate(timeout=60)[0] + other.communicate(timeout=60)[0]

    assert (one.returncode, other.returncode) == (0, 0), output
    assert sorted(hub.fetched()) == sorted(contents(CHECKPOINT))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        pytest.param("gone", "The hub knows no public own/gone", id="unknown-repository"),
        pytest.param("foreign", "own/foreign holds no weights in a format", id="foreign-format"),
        pytest.param("nobody", "There is no model 'nobody'", id="not-in-the-catalogue"),
    ],
)
def test_a_failed_download_is_reported_in_a_sentence(
    tmp_path: Path, hub: HubStandIn, model: str, message: str
) -> None:
    code, output = fetch(tmp_path, hub.url, model)

    assert code != 0
    assert message in output
    assert "Traceback" not in output
    assert not (tmp_path / "models" / model).exists()


def test_an_unreachable_hub_is_reported_in_a_sentence(tmp_path: Path) -> None:
    code, output = fetch(tmp_path, f"http://127.0.0.1:{free_port()}", "tiny")

    assert code != 0
    assert "Cannot fetch own/tiny into" in output
    assert "Check the network, HTTPS_PROXY and HF_ENDPOINT" in output
    assert "Traceback" not in output


@pytest.mark.parametrize("address", ["https://[::1", "https://hub:port"])
def test_an_address_of_the_hub_that_is_none_is_named(tmp_path: Path, address: str) -> None:
    code, output = fetch(tmp_path, address, "tiny")

    assert code != 0
    assert "HF_ENDPOINT is not an address. Write it as https://" in output


@pytest.mark.parametrize(
    ("proxy", "words"),
    [
        ("ftp://u:secret@proxy", "HTTPS_PROXY or ALL_PROXY is not the address of a proxy"),
        ("http://u:sec/ret@proxy", "HTTPS_PROXY or ALL_PROXY is not the address of a proxy"),
        ("socks5://proxy", "names a SOCKS proxy, for which the Python package socksio is missing"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_named_and_its_password_is_not(
    monkeypatch: pytest.MonkeyPatch, proxy: str, words: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)

    with pytest.raises(LoadError, match=words) as told:
        hub_client.look_up(ModelSpec(name="tiny", family="blip", source="own/tiny"))
    assert "sec" not in str(told.value)


def test_an_unwritable_models_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file where the folder should be")
    spec = ModelSpec(name="tiny", family="blip", source="own/tiny")

    words = f"Cannot fetch own/tiny into {tmp_path}/models/tiny: .* Let VISION_MODELS_DIR name"
    with pytest.raises(LoadError, match=words):
        ensure_weights(spec, tmp_path / "models", lambda _: None)
