"""A web server to fetch images from."""

import threading
from collections.abc import Iterator

import pytest

from tests.api.http.web_server import Site


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.closing.set()
        server.shutdown()
        thread.join()
