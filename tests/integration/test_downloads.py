"""A worker that fetches its weights: clients see its progress, and are served afterwards."""

import shutil
from pathlib import Path

import pytest
import requests

from tests.conftest import data_url, plain, shape
from tests.hub_standin import HubStandIn
from tests.stack import API, TESTS, Stack, wait_for


def test_clients_see_the_progress_of_a_download_and_are_served_after_it(
    stack: Stack, api: str, tmp_path: Path
) -> None:
    def ask() -> requests.Response:
        body = {"images": [data_url(plain(3))]}
        return requests.post(f"{api}{API}/caption/fetched", json=body, timeout=30)

    def refused_with_progress() -> str | None:
        reply = ask()
        assert reply.status_code == 503, reply.text
        return reply.json()["error"] if "%" in reply.text else None

    weights = TESTS / "checkpoints" / "vit-gpt2"
    with HubStandIn({"own/tiny": weights}) as hub:
        hub.holds = {"model.safetensors": 300_000}
        stack.another_worker(
            "fetched", HF_ENDPOINT=hub.url, HOME=str(tmp_path), VISION_MODELS_DIR=str(tmp_path)
        )
        wait_for("a worker", lambda: stack.presence("fetched").workers)
        said = wait_for("progress", refused_with_progress)
        (entry,) = [
            model
            for model in requests.get(f"{api}{API}/models", timeout=10).json()["models"]
            if model["name"] == "fetched"
        ]
        hub.go_on.set()
        stack.wait_ready("fetched")
        assert ask().json()["result"]["caption"]["text"] == "rgb 3 0 0"
    assert said.startswith("fetched is downloading: ")
    assert said.endswith("of own/tiny")
    assert entry["workers"][0]["state"] == "downloading"
    assert not entry["served"]


@pytest.mark.slow
def test_a_captioner_without_its_vocabulary_is_refused_until_it_can_be_fetched(
    stack: Stack, api: str, tmp_path: Path
) -> None:
    def ask() -> requests.Response:
        body = {"images": [data_url(shape("red", "circle"))]}
        return requests.post(f"{api}{API}/caption/copied", json=body, timeout=60)

    # As after a copy in alphabetical order that was broken off.
    weights = Path(shutil.copytree(TESTS / "checkpoints" / "blip", tmp_path / "copied"))
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        (weights / name).unlink()
    with HubStandIn({}) as hub:
        stack.another_worker(
            "copied", HF_ENDPOINT=hub.url, HOME=str(tmp_path), VISION_MODELS_DIR=str(tmp_path)
        )
        stack.wait_ready("copied")
        refusal = ask()
        log = stack.processes.logs("worker-copied")
        hub.repos["own/blip"] = TESTS / "checkpoints" / "blip"
        requests.post(f"{api}{API}/models/copied/recycle", timeout=10).raise_for_status()
        wait_for("the model", lambda: stack.status("copied").consuming)
        answer = ask()
    assert refusal.status_code == 503, refusal.text
    said = f"{weights} cannot be used: tokenizer.json is missing, and so is any other vocabulary."
    assert said in refusal.json()["error"]
    assert said in log
    assert "Traceback" not in log
    assert answer.json()["result"]["caption"]["text"] == "a red circle"
    assert "model.safetensors" not in hub.fetched()
