"""Options over HTTP, on both doors: what Ollama accepts is answered, other types are named."""

import json
from typing import Any

import pytest
import requests

from tests.conftest import data_url, plain, shape
from tests.stack import API, Stack

PHOTOPRISM = {
    "prompt": "Analyze the image",
    "format": "json",
    "stream": False,
    "think": False,
    "options": {"temperature": 0.01, "top_p": 0.9, "stop": ["\n\n"]},
}
"""What PhotoPrism's Ollama engine sends to get labels."""
OPTIONS: list[dict[str, Any]] = [
    {"temperature": 0.01, "top_p": 0.9, "stop": ["\n\n"]},
    {"stop": ["", "Circle", *map(str, range(9)), "z" * 300, "\ud800"]},
    {"top_k": -1, "temperature": 1, "seed": 2**70, "top_p": 1.5, "min_p": -1, "typical_p": 0},
    {"seed": 1.5, "temperature": 1e9, "num_predict": 1, "repeat_penalty": 0.01},
    {"temperature": -1, "repeat_penalty": 0, "num_predict": 10**9, "seed": -1, "num_ctx": 4096},
    {"num_predict": 512, "repeat_penalty": 0.01, "mirostat": 2, "penalize_newline": True},
    {"temperature": None, "top_k": None, "stop": None, "num_predict": 0.5},
]
WRONG: list[tuple[Any, str]] = [
    ({"top_k": "4"}, "options.top_k"),
    ({"temperature": True}, "options.temperature"),
    ({"seed": [1]}, "options.seed"),
    ({"num_predict": {}}, "options.num_predict"),
    ({"stop": [1]}, "options.stop"),
    ({"top_p": float("inf")}, "options.top_p"),
    ([], "options"),
    ("hot", "options"),
    (0, "options"),
    (False, "options"),
]
IMAGE = shape("blue", "square")


MODELS = [
    "fake",
    "blip",
    pytest.param("kosmos-2", marks=pytest.mark.slow),
    pytest.param("vit-gpt2", marks=pytest.mark.slow),
]


@pytest.fixture(scope="module")
def base(stack: Stack, api: str) -> str:
    stack.worker("fake")
    return api


def bare(image: bytes) -> str:
    return data_url(image).partition(",")[2]


@pytest.mark.parametrize("model", MODELS)
def test_photoprisms_request_for_labels_is_answered(stack: Stack, base: str, model: str) -> None:
    stack.worker(model)
    body = {"model": model, "images": [bare(IMAGE)], **PHOTOPRISM}
    reply = requests.post(f"{base}/api/generate", json=body, timeout=60)
    assert reply.status_code == 200, reply.text
    answer = json.loads(reply.json()["response"])
    assert answer.get("labels") or answer.get("caption")


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: str(options)[:40])
def test_any_value_that_ollama_accepts_is_answered(
    stack: Stack, base: str, model: str, options: dict[str, Any]
) -> None:
    stack.worker(model)
    body = {"model": model, "stream": False, "images": [bare(IMAGE)], "options": options}
    reply = requests.post(f"{base}/api/generate", json=body, timeout=60)
    assert reply.status_code == 200, reply.text
    assert any(map(str.isalpha, reply.json()["response"]))
    reply = requests.post(f"{base}{API}/caption", json=body, timeout=60)
    assert reply.status_code == 200, reply.text
    assert any(map(str.isalpha, reply.json()["result"]["caption"]["text"]))


@pytest.mark.parametrize(("options", "field"), WRONG)
@pytest.mark.parametrize("path", ["/api/generate", "/api/chat", f"{API}/caption"])
def test_an_option_of_another_type_is_named(base: str, path: str, options: Any, field: str) -> None:
    body = {"model": "fake", "images": [bare(plain(1))], "options": options}
    if path == "/api/chat":
        images = body.pop("images")
        body["messages"] = [{"role": "user", "content": "", "images": images}]
    reply = requests.post(f"{base}{path}", data=json.dumps(body), timeout=60)
    assert reply.status_code == 400
    assert field in reply.json()["error"]


def test_a_prompt_with_half_a_character_crashes_nothing(base: str) -> None:
    body = {"model": "fake", "stream": False, "images": [bare(plain(1))], "prompt": "a\ud800b"}
    for _ in range(2):
        reply = requests.post(f"{base}/api/generate", data=json.dumps(body), timeout=60)
        assert reply.status_code == 200, reply.text
        assert reply.json()["response"] == "rgb 1 0 0 ab"
