"""A stand-in, and Ollama's official client for it."""

import contextlib
from collections.abc import Iterator
from typing import Any

import ollama
import pytest

from tests.conftest import plain
from tests.ollama_standin import OllamaStandin

MODEL = "gemma3:latest"
LABELS = {
    "type": "object",
    "properties": {
        "labels": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "confidence": {"type": "number"}},
            },
        }
    },
}


@contextlib.contextmanager
def connect(url: str, **more: Any) -> Iterator[ollama.Client]:
    # Without TLS: reading the system's certificates takes longer than most tests here.
    client = ollama.Client(url, verify=False, **more)
    try:
        yield client
    finally:
        client.close()  # type: ignore[no-untyped-call]


@pytest.fixture
def server() -> Iterator[OllamaStandin]:
    with OllamaStandin(["gemma3", "llava:7b"]) as standin:
        yield standin


@pytest.fixture
def client(server: OllamaStandin) -> Iterator[ollama.Client]:
    with connect(server.url) as connected:
        yield connected


def caption(client: ollama.Client, **more: Any) -> ollama.GenerateResponse:
    answer = client.generate("gemma3", "Say.", images=[plain(200, 1, 2)], stream=False, **more)
    assert isinstance(answer, ollama.GenerateResponse)
    return answer


def speed(answer: ollama.GenerateResponse) -> float:
    assert answer.eval_count
    assert answer.eval_duration
    return answer.eval_count / answer.eval_duration
