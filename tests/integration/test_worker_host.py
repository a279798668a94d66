"""Replies name the machine whose worker answered or failed, at each door."""

import base64
import socket
from typing import Any

import pytest
import requests

from tests.conftest import plain
from tests.stack import API, Stack

MODEL = "efficientnet-lite0"
DOORS = ["vision", "ollama", "openai"]
PATHS = {
    "vision": f"{API}/caption",
    "ollama": "/api/generate",
    "openai": "/v1/chat/completions",
}


@pytest.fixture(scope="module")
def base(stack: Stack, api: str) -> str:
    stack.worker(MODEL)
    return api


def ask(base: str, door: str, image: bytes, model: str = MODEL) -> requests.Response:
    text = base64.b64encode(image).decode()
    part = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{text}"}}
    body: dict[str, Any] = {"model": model, "stream": False}
    body |= (
        {"messages": [{"role": "user", "content": [part]}]}
        if door == "openai"
        else {"images": [text]}
    )
    return requests.post(base + PATHS[door], json=body, timeout=60)


@pytest.mark.parametrize("door", DOORS)
def test_the_machine_that_answered_is_named(base: str, door: str, cat: bytes) -> None:
    reply = ask(base, door, cat)
    assert reply.ok, reply.text
    assert reply.headers["X-Worker-Host"] == socket.gethostname()


@pytest.mark.parametrize(
    ("image", "status"),
    [
        pytest.param(plain(9)[:41], 422, id="cut-off"),  # behind its header
        pytest.param(plain(9), 500, id="nothing-found"),
    ],
)
@pytest.mark.parametrize("door", DOORS)
def test_the_machine_whose_worker_failed_is_named(
    base: str, door: str, image: bytes, status: int
) -> None:
    reply = ask(base, door, image)
    assert reply.status_code == status, reply.text
    assert reply.headers["X-Worker-Host"] == socket.gethostname()


@pytest.mark.parametrize("door", DOORS)
def test_an_error_of_the_api_itself_names_no_machine(base: str, door: str) -> None:
    reply = ask(base, door, plain(9), model="nobody")
    assert reply.status_code == 404
    assert "X-Worker-Host" not in reply.headers


def test_the_document_says_which_replies_may_name_a_machine(base: str) -> None:
    paths = requests.get(f"{base}/openapi.json", timeout=60).json()["paths"]
    documented = {
        door: {
            status
            for status, reply in paths[path]["post"]["responses"].items()
            if "X-Worker-Host" in reply.get("headers", {})
        }
        for door, path in {**PATHS, "vision": f"{API}/{{task}}"}.items()
    }
    assert all({"200", "422", "500"} <= statuses for statuses in documented.values())
    assert not {"401", "429", "504"}.intersection(*documented.values())
