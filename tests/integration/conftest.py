"""Fixtures for tests of Ollama: one stack with two stand-ins per test file."""

from collections.abc import Iterator

import pytest

from tests.ollama.service import Ollama, reset, running_ollama


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ollama]:
    with running_ollama(tmp_path_factory.mktemp("ollama")) as stack:
        yield stack


@pytest.fixture
def ollama(running: Ollama) -> Ollama:
    return reset(running)
