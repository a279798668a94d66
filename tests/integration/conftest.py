"""Fixtures for tests of Ollama: stacks with stand-ins, one per test file."""

from collections.abc import Iterator

import pytest

from tests.ollama.service import Ollama, reset, running_ollama
from tests.ollama_standin import OllamaStandin
from tests.stack import Stack, running_stack


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ollama]:
    with running_ollama(tmp_path_factory.mktemp("ollama")) as stack:
        yield stack


@pytest.fixture
def ollama(running: Ollama) -> Ollama:
    return reset(running)


@pytest.fixture(scope="module")
def standin() -> Iterator[OllamaStandin]:
    with OllamaStandin(("llava:7b",)) as server:
        yield server


@pytest.fixture(scope="module")
def stack_with_ollama(
    tmp_path_factory: pytest.TempPathFactory, standin: OllamaStandin
) -> Iterator[Stack]:
    """A model of our own beside those of a stand-in."""
    folder = tmp_path_factory.mktemp("with-ollama")
    with running_stack(folder, OLLAMA_ENABLED="true", OLLAMA_HOST=standin.url) as stack:
        stack.worker("ollama")
        stack.worker("fake")
        yield stack
