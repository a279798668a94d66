"""Fixtures: stacks with stand-ins for Ollama, photos on the web, a browser."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Browser, Page

from tests.browser import opened, running_browser
from tests.integration.page import MODELS as MODELS_OF_THE_PAGE
from tests.ollama.service import MODELS, Ollama, reset, set_back
from tests.ollama_standin import OllamaStandin
from tests.stack import SAMPLES, Stack, running_stack


@pytest.fixture(scope="session")
def two_servers() -> Iterator[tuple[OllamaStandin, OllamaStandin]]:
    with OllamaStandin(MODELS) as first, OllamaStandin(MODELS) as second:
        yield first, second


@pytest.fixture(scope="session")
def stack_of_two_servers(
    tmp_path_factory: pytest.TempPathFactory,
    two_servers: tuple[OllamaStandin, OllamaStandin],
    shared_stacks: list[Stack],
) -> Iterator[Stack]:
    hosts = ",".join(server.url for server in two_servers)
    folder = tmp_path_factory.mktemp("ollama")
    with running_stack(folder, OLLAMA_ENABLED="true", OLLAMA_HOST=hosts) as stack:
        shared_stacks.append(stack)
        yield stack


@pytest.fixture(scope="module")
def running(
    stack_of_two_servers: Stack, two_servers: tuple[OllamaStandin, OllamaStandin]
) -> Ollama:
    stack_of_two_servers.worker("ollama")
    return Ollama(stack_of_two_servers, stack_of_two_servers.api(), *two_servers)


@pytest.fixture
def ollama(running: Ollama) -> Ollama:
    return reset(running)


@pytest.fixture(scope="session")
def _standin() -> Iterator[OllamaStandin]:
    with OllamaStandin(("llava:7b",)) as server:
        yield server


@pytest.fixture
def standin(_standin: OllamaStandin) -> Iterator[OllamaStandin]:
    yield _standin
    set_back(_standin)


@pytest.fixture(scope="session")
def _stack_with_ollama(
    tmp_path_factory: pytest.TempPathFactory, _standin: OllamaStandin, shared_stacks: list[Stack]
) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("with-ollama")
    with running_stack(folder, OLLAMA_ENABLED="true", OLLAMA_HOST=_standin.url) as stack:
        shared_stacks.append(stack)
        yield stack


@pytest.fixture(scope="module")
def stack_with_ollama(_stack_with_ollama: Stack) -> Stack:
    """A model of our own beside those of a stand-in."""
    for model in ("ollama", "fake"):
        _stack_with_ollama.worker(model)
    return _stack_with_ollama


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


@pytest.fixture(scope="session")
def page_stack(
    tmp_path_factory: pytest.TempPathFactory, shared_stacks: list[Stack]
) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("page")) as running:
        shared_stacks.append(running)
        yield running


@pytest.fixture(scope="module")
def page_base(page_stack: Stack) -> str:
    page_stack.ready_workers(MODELS_OF_THE_PAGE)
    return page_stack.api(VISION_URL_ALLOW="127.0.0.0/8", VISION_FLOWER_URL="http://127.0.0.1:5555")


@pytest.fixture
def page(browser: Browser, page_base: str) -> Iterator[Page]:
    with opened(browser, page_base, permissions=["clipboard-read", "clipboard-write"]) as page:
        yield page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Ends with the module: while it runs, nothing else can run an event loop in this thread."""
    with running_browser() as started:
        yield started
