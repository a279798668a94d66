"""``X-Request-ID`` is adopted or generated, and returned; so is the ``id`` of the body."""

import copy
import io
import json
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api import create_app
from api.http import request_id
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


REFUSALS = [
    ("POST", f"{API}/caption", 401),
    ("POST", "/api/generate", 401),
    ("POST", "/api/unheard-of", 401),
    ("POST", "/nowhere", 404),
    ("POST", f"{API}/smell", 404),
    ("POST", f"{API}/face", 401),
    ("POST", f"{API}/face/facenet/latest", 401),
    ("DELETE", f"{API}/caption", 405),
    ("PUT", "/api/chat", 405),
    ("POST", "/api/pull", 403),
    ("POST", "/api/generate", 404),
    ("POST", "/api/chat", 404),
    ("POST", "/api/show", 404),
    ("POST", f"{API}/models/nobody/recycle", 404),
]


@pytest.fixture(scope="module")
def guarded() -> FlaskClient:
    settings = Settings(redis_url="redis://127.0.0.1:1/0", api_keys=("sesame",))
    return create_app(settings).test_client()


def send(client: FlaskClient, method: str, path: str, key: str, **request: Any) -> TestResponse:
    headers = {"Authorization": f"Bearer {key}", **request.pop("headers", {})}
    return client.open(path, method=method, headers=headers, **request)


@pytest.mark.parametrize(("method", "path", "status"), REFUSALS)
@pytest.mark.parametrize("kind", ["application/json", "text/plain", ""])
def test_a_refused_request_gets_the_id_of_its_body_back(
    guarded: FlaskClient, method: str, path: str, status: int, kind: str
) -> None:
    key = "wrong" if status == 401 else "sesame"
    body = json.dumps({"id": "photo-1", "model": "nobody", "images": ["A" * 200_000]})
    reply = send(guarded, method, path, key, data=body, content_type=kind)
    assert (reply.status_code, reply.get_json()["id"]) == (status, "photo-1")


@pytest.mark.parametrize(
    "request_with_id",
    [
        pytest.param({"data": {"id": "photo-1", "url": "http://a.example"}}, id="form"),
        pytest.param({"data": {"id": "photo-1", "images": (io.BytesIO(b"x"), "a")}}, id="upload"),
        pytest.param({"query_string": {"id": "photo-1"}}, id="query"),
        pytest.param({"headers": {"X-Request-ID": "photo-1"}}, id="header"),
    ],
)
@pytest.mark.parametrize(("method", "path", "status"), REFUSALS[:6])
def test_a_refused_request_gets_its_id_back_wherever_it_was(
    guarded: FlaskClient, method: str, path: str, status: int, request_with_id: dict[str, Any]
) -> None:
    key = "wrong" if status == 401 else "sesame"
    reply = send(guarded, method, path, key, **copy.deepcopy(request_with_id))
    assert (reply.status_code, reply.get_json()["id"]) == (status, "photo-1")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"{", id="no-json"),
        pytest.param(b"[" * 5000, id="deep"),
        pytest.param(b"[1]", id="list"),
        pytest.param(b'{"id": 5}', id="number"),
        pytest.param(b'{"id": "two words"}', id="no-id"),
        pytest.param(b"\xff\xfe", id="bytes"),
        pytest.param(
            b'{"id": "x", "images": ["' + b"A" * request_id.MAX_BODY_BYTES + b'"]}', id="too-large"
        ),
    ],
)
def test_a_refused_request_without_a_usable_id_gets_one(guarded: FlaskClient, body: bytes) -> None:
    reply = guarded.post(f"{API}/caption", data=body)
    assert reply.status_code == 401
    assert len(reply.get_json()["id"]) == 36


def test_faces_are_refused_with_what_to_do(guarded: FlaskClient) -> None:
    headers = {"Authorization": "Bearer sesame"}
    for path in ("face", "face/", "face/facenet", "face/facenet/latest"):
        reply = guarded.post(f"{API}/{path}", json={"images": []}, headers=headers)
        assert reply.status_code == 404
        assert "run a face model: see `Faces` in docs/models.md" in reply.get_json()["error"]
        assert "unset PHOTOPRISM_VISION_URI" in reply.get_json()["error"]
