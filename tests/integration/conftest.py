"""Fixtures: stacks with stand-ins for Ollama, one per test file, photos on the web, a browser."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Browser

from tests.browser import running_browser
from tests.ollama.service import Ollama, reset, running_ollama
from tests.ollama_standin import OllamaStandin
from tests.stack import SAMPLES, Stack, running_stack


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


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Log nothing."""


@pytest.fixture(scope="module")
def photos() -> Iterator[str]:
    """Address of a web server that has the sample photos."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=SAMPLES)) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.02,))
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        serving.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Ends with the module: while it runs, nothing else can run an event loop in this thread."""
    with running_browser() as started:
        yield started
