"""``vision config``: what it writes is YAML, names what runs, and serves PhotoPrism's requests."""

import re
from typing import Any

import pytest
import requests
import yaml

from tests.conftest import data_url, plain
from tests.stack import Stack
from tests.vision.command import succeeds, vision

MODELS = ("efficientnet-lite0", "opennsfw", "fake")


@pytest.fixture(scope="module")
def url(stack: Stack, api: str) -> str:
    for model in MODELS:
        stack.worker(model)
    return api


def by_type(text: str) -> dict[str, dict[str, Any]]:
    return {entry["Type"]: entry for entry in yaml.safe_load(text)["Models"]}


def test_the_entries_name_the_models_that_answer_by_default(url: str) -> None:
    text = succeeds("config", "photoprism", "--url", url)
    found = by_type(text)
    assert {task: entry["Name"] for task, entry in found.items()} == {
        "caption": "efficientnet-lite0",
        "labels": "efficientnet-lite0",
        "nsfw": "opennsfw",
    }
    assert yaml.safe_load(text)["Thresholds"] == {"NSFWIndex": 33, "NSFWUpload": 33}
    assert {entry["Service"]["Key"] for entry in found.values()} == {"${PHOTOPRISM_VISION_KEY}"}
    assert "PHOTOPRISM_VISION_URI" in text
    assert re.search(r"\bor .*\bfake\b", text)
    assert "this machine only" in text


def test_each_entry_is_answered_by_the_model_that_it_names(url: str, cat: bytes) -> None:
    for task, entry in by_type(succeeds("config", "photoprism", "--url", url)).items():
        body = {"model": entry["Name"], "images": [data_url(cat)]}
        reply = requests.post(entry["Service"]["Uri"], json=body, timeout=60).json()
        assert reply["code"] == 200
        assert reply["model"]["name"] == entry["Name"]
        assert task in reply["result"]


def test_through_the_door_of_ollama_models_have_versions(url: str) -> None:
    text = succeeds("config", "photoprism", "--door", "ollama", "--model", "fake", "--url", url)
    found = by_type(text)
    assert found["caption"]["Engine"] == "ollama"
    assert found["nsfw"]["Service"]["Uri"].endswith("/api/v1/vision/nsfw")
    for task in ("caption", "labels"):
        body = {"model": found[task]["Model"], "images": [data_url(plain(9)).partition(",")[2]]}
        reply = requests.post(
            found[task]["Service"]["Uri"], json={**body, "prompt": "", "stream": False}, timeout=60
        )
        assert reply.json()["response"] == "rgb 9 0 0"
    assert yaml.safe_load(text)["Thresholds"] == {"NSFWIndex": 50, "NSFWUpload": 50}


def test_through_the_door_of_openai_captions_are_responses(url: str) -> None:
    text = succeeds("config", "photoprism", "--door", "openai", "--model", "fake", "--url", url)
    entry = by_type(text)["caption"]
    assert (entry["Engine"], entry["Name"]) == ("openai", "fake")
    image = {"type": "input_image", "image_url": data_url(plain(9))}
    body = {"model": entry["Name"], "input": [{"role": "user", "content": [image]}]}
    reply = requests.post(entry["Service"]["Uri"], json=body, timeout=60).json()
    (content,) = next(item["content"] for item in reply["output"] if item["type"] == "message")
    assert content["text"] == "rgb 9 0 0"


def test_the_key_is_explained_where_one_is_needed_and_never_printed(stack: Stack) -> None:
    guarded = stack.api(VISION_API_KEYS="sesame")
    text = succeeds("config", "photoprism", VISION_URL=guarded, VISION_API_KEY="sesame")
    assert "one of VISION_API_KEYS" in text
    assert "sesame" not in text


def test_the_overlay_for_compose_holds_the_file_with_its_variable_kept(url: str) -> None:
    overlay = yaml.safe_load(succeeds("config", "compose", "--url", url))
    service = overlay["services"]["photoprism"]
    assert overlay["networks"]["vision"]["name"] == "vision_default"
    assert service["networks"] == ["default", "vision"]
    content = overlay["configs"]["vision-yml"]["content"]
    assert "$${PHOTOPRISM_VISION_KEY}" in content
    uris = [entry["Service"]["Uri"] for entry in by_type(content).values()]
    assert uris[0] == "http://api:5000/api/v1/vision/caption"
    assert service["configs"] == [
        {"source": "vision-yml", "target": "/photoprism/storage/config/vision.yml"}
    ]


def test_an_unknown_model_is_refused_with_the_names_there_are(url: str) -> None:
    said = vision("config", "photoprism", "--model", "nobody", "--url", url)
    assert said.returncode == 2
    assert "There is no model 'nobody'" in said.stderr
