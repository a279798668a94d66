"""API keys: the ways to send one, and the characters that one may have."""

import base64

import pytest
from flask.testing import FlaskClient

from api import create_app
from shared.settings import Settings

KEYS = ("sesame", "dGVzdA==", "a=b=c", "=", "k:e:y", "schlüssel", "two words")
PATH = "/api/v1/vision/smell"
"""There is no such route, but its key is checked first."""


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    settings = Settings(redis_url="redis://127.0.0.1:1/0", api_keys=KEYS)
    return create_app(settings).test_client()


def basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def status(client: FlaskClient, header: str | None) -> int:
    # WSGI has the bytes of a header as Latin-1.
    headers = {} if header is None else {"Authorization": header.encode().decode("latin-1")}
    return client.post(PATH, headers=headers).status_code


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER "])
def test_a_key_is_taken_as_bearer_whatever_its_characters(
    client: FlaskClient, scheme: str, key: str
) -> None:
    assert status(client, f"{scheme} {key}") == 404


@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_taken_as_password_whatever_the_user(client: FlaskClient, key: str) -> None:
    for user in ("", "photoprism"):
        assert status(client, basic(user, key)) == 404


@pytest.mark.parametrize("key", [key for key in KEYS if ":" not in key])
def test_a_key_is_taken_as_user_name_whatever_the_password(client: FlaskClient, key: str) -> None:
    for password in ("", "x", "a:b"):
        assert status(client, basic(key, password)) == 404


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(None, id="none"),
        pytest.param("", id="empty"),
        pytest.param("Bearer", id="bearer-alone"),
        pytest.param("Bearer wrong", id="wrong"),
        pytest.param("Bearer Sesame", id="other-case"),
        pytest.param("Bearer sesame2", id="longer"),
        pytest.param("Bearer dGVzdA", id="without-padding"),
        pytest.param("Bearer b=c", id="part-of-a-key"),
        pytest.param("sesame", id="without-scheme"),
        pytest.param("Digest sesame", id="other-scheme"),
        pytest.param("Digest username=sesame", id="parameters"),
        pytest.param("Basic sesame", id="basic-that-is-no-base64"),
        pytest.param("Basic ?", id="basic-with-junk"),
        pytest.param(basic("user", "wrong"), id="basic-wrong"),
        pytest.param(basic("", ""), id="basic-empty"),
        pytest.param(basic("ses", "ame"), id="basic-halves"),
    ],
)
def test_anything_else_is_401(client: FlaskClient, header: str | None) -> None:
    assert status(client, header) == 401


@pytest.mark.parametrize(
    "path", ["/api/v1/vision/models", "/api/tags", "/v1/models", "/v1/nothing"]
)
def test_every_door_needs_a_key(client: FlaskClient, path: str) -> None:
    assert client.get(path).status_code == 401


@pytest.mark.parametrize("header", ["Bearer", "Bearer wrong", "bearer wrong"])
def test_to_a_wrong_bearer_no_browser_asks_for_a_password(client: FlaskClient, header: str) -> None:
    reply = client.post(PATH, headers={"Authorization": header})
    assert reply.headers["WWW-Authenticate"].startswith("Bearer ")


def test_to_a_script_without_a_key_no_browser_asks_for_a_password(client: FlaskClient) -> None:
    reply = client.post(PATH, headers={"X-Requested-With": "fetch"})
    assert reply.headers["WWW-Authenticate"].startswith("Bearer ")


def test_a_401_says_how_a_key_is_sent(client: FlaskClient) -> None:
    reply = client.post(PATH)
    assert "Bearer" in reply.get_json()["error"]
    assert "Basic" in reply.headers["WWW-Authenticate"]
