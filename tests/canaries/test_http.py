"""What the API knows of the insides of spectree, swagger-ui-py and requests-hardened.

What it knows of gunicorn, uvicorn, Werkzeug and urllib3 is seen elsewhere:
``test_versions.py`` says where.
"""

import socket
import threading
from collections.abc import Iterator

import pytest
import requests
from flask import Flask, Response, request
from pydantic import BaseModel
from spectree import Response as Documented
from spectree import SpecTree

from api import create_app
from api.http.fetch_connection import AllowList, AllowListAdapter, Connection
from shared.settings import Settings


class Numbered(BaseModel):
    number: int


@pytest.fixture
def read() -> list[int]:
    """What was taken out of a stream, and before it is closed, what spectree took."""
    return []


@pytest.fixture
def app(read: list[int]) -> Flask:
    app, spec = Flask("canary"), SpecTree("flask", mode="strict")

    def numbers() -> Iterator[bytes]:
        for number in range(3):
            read.append(number)
            yield b"%d\n" % number

    @app.post("/checked")
    @spec.validate(json=Numbered, resp=Documented(HTTP_200=Numbered), skip_validation=True)
    def checked() -> Response:
        return Response(request.get_data(), mimetype="text/plain")

    @app.get("/response")
    @spec.validate(skip_validation=True)
    def response() -> Response:
        return Response(numbers())

    @app.get("/bare")
    @spec.validate(skip_validation=True)
    def bare() -> tuple[Iterator[bytes], int, dict[str, str]]:
        return numbers(), 200, {"Content-Type": "application/x-ndjson"}

    return app


def test_spectree_leaves_a_request_alone_that_it_is_told_not_to_validate(app: Flask) -> None:
    reply = app.test_client().post("/checked", data=b"no JSON", content_type="application/json")
    assert (reply.status_code, reply.data) == (200, b"no JSON")


def test_spectree_leaves_a_stream_alone_that_is_no_response_yet(
    app: Flask, read: list[int]
) -> None:
    with app.test_client().get("/bare", buffered=False) as reply:
        assert read in ([], [0])  # the test client looks for the first part
        assert reply.mimetype == "application/x-ndjson"
        assert reply.data == b"0\n1\n2\n"


def test_spectree_still_reads_a_response_to_its_end(app: Flask, read: list[int]) -> None:
    """When this fails, views of streams may return responses (``api/routes/ollama.py``)."""
    with app.test_client().get("/response", buffered=False):
        assert read == [0, 1, 2]


def test_the_page_of_swagger_ui_does_without_the_editor_that_the_image_leaves_out() -> None:
    client = create_app(Settings(redis_url="redis://127.0.0.1:1/0")).test_client()
    assert "swagger-ui-bundle.js" in client.get("/docs").text
    assert "swagger-editor" not in client.get("/docs").text


def test_an_allowed_host_is_greeted_by_its_name_at_the_address_that_was_checked() -> None:
    """What the base class would have set for TLS: it raised before it could, so we do."""
    hello: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener, requests.Session() as session:

        def refuse() -> None:
            connection, _ = listener.accept()
            with connection:
                hello.append(connection.recv(4096))

        server = threading.Thread(target=refuse)
        server.start()
        adapter = AllowListAdapter(AllowList(["localhost"]), Connection(), https=True)
        session.trust_env = False
        session.mount("https://", adapter)
        url = f"https://localhost:{listener.getsockname()[1]}/"
        with pytest.raises(requests.ConnectionError):
            session.get(url, timeout=5)
        server.join()
        prepared = session.prepare_request(requests.Request("GET", url))
        pool = adapter.get_connection_with_tls_context(prepared, verify=True)
    assert b"localhost" in hello[0]
    assert (pool.host, pool.assert_hostname) == ("127.0.0.1", "localhost")
