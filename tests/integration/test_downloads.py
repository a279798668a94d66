"""A worker that fetches its weights: clients see its progress, and are served afterwards."""

from pathlib import Path

import requests

from tests.conftest import data_url, plain
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
        said = wait_for("progress", refused_with_progress, 20)
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
