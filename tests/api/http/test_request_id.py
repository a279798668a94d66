"""``X-Request-ID`` is adopted or generated, and returned; so is the ``id`` of the body."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from api import create_app
from shared.settings import Settings
from tests.stack import API


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    return create_app(Settings(redis_url="redis://127.0.0.1:1/0")).test_client()


def ids(client: FlaskClient, header: str | None, **body: Any) -> tuple[str, str]:
    """The ids in the reply's header and body."""
    headers = {} if header is None else {"X-Request-ID": header}
    reply = client.post(f"{API}/caption/nobody", json=body, headers=headers)
    assert reply.status_code == 404
    return reply.headers["X-Request-ID"], reply.get_json()["id"]


def test_the_header_names_a_request_whose_body_has_no_id(client: FlaskClient) -> None:
    assert ids(client, "from-proxy") == ("from-proxy", "from-proxy")


def test_the_id_of_the_body_names_a_request_without_header(client: FlaskClient) -> None:
    assert ids(client, None, id="photo-1") == ("photo-1", "photo-1")


def test_each_of_two_ids_is_returned_where_it_was_sent(client: FlaskClient) -> None:
    assert ids(client, "from-proxy", id="photo-1") == ("from-proxy", "photo-1")


@pytest.mark.parametrize("header", [None, "", "two words", "x" * 129, "ü"])
def test_without_a_usable_id_one_is_generated(client: FlaskClient, header: str | None) -> None:
    made, echoed = ids(client, header)
    assert made == echoed
    assert made != header
    assert len(made) == 36


@pytest.mark.parametrize("path", ["/livez", "/metrics", "/docs/", "/nowhere", "/openapi.json"])
def test_every_reply_has_the_header(client: FlaskClient, path: str) -> None:
    with client.get(path, headers={"X-Request-ID": "any"}) as reply:
        assert reply.headers["X-Request-ID"] == "any"
