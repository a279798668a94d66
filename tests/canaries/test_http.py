"""What the API knows of the insides of swagger-ui-py and requests-hardened.

What it knows of gunicorn, uvicorn, Werkzeug and urllib3 is seen elsewhere:
``test_versions.py`` says where.
"""

import socket
import threading

import pytest
import requests

from api import create_app
from api.http.fetch_connection import AllowList, AllowListAdapter, Connection
from shared.settings import Settings


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
