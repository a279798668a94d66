"""Requests of web pages: which origins are answered, and what browsers are told."""

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api import create_app
from shared.settings import Settings

HERE = "http://vision.example"
OLLAMA, OURS = "/api/generate", "/api/v1/vision/caption/nobody"
OPENAI = "/v1/chat/completions"
BODY = {"model": "nobody", "messages": [{"role": "user", "content": "x"}]}
ALLOWED = (
    *("http://localhost", "https://localhost", "http://localhost:3000", "https://localhost:8443"),
    *("http://127.0.0.1", "https://127.0.0.1:1", "http://0.0.0.0", "http://0.0.0.0:65535"),
    *("app://obsidian.md", "file://", "tauri://localhost", "vscode-webview://1f2e", "vscode-file://x"),
)  # fmt: skip
CONFIGURED = ("https://photos.example", "https://a.b.lan", "chrome-extension://abc")
FOREIGN = (
    *("https://example.com", "http://localhost.example.com", "http://localhost:1.example.com"),
    *("https://photos.example:8443", "http://photos.example", "https://lan", "null"),
    *("http://192.168.0.1", "http://localhostx", "ftp://localhost", "evil-app://x"),
)


def client_of(*origins: str, keys: tuple[str, ...] = ()) -> FlaskClient:
    settings = Settings(redis_url="redis://127.0.0.1:1/0", cors_origins=origins, api_keys=keys)
    return create_app(settings).test_client()


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    patterns = ("https://photos.example/", "https://*.lan", "chrome-extension://*")
    return client_of(*patterns, keys=("sesame",))


def preflight(client: FlaskClient, path: str, origin: str) -> TestResponse:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type",
    }
    return client.options(path, headers=headers, base_url=HERE)


def post(client: FlaskClient, path: str, origin: str, key: str = "sesame") -> TestResponse:
    headers = {"Origin": origin, "Authorization": f"Bearer {key}"}
    return client.post(path, json=BODY, headers=headers, base_url=HERE)


@pytest.mark.parametrize("path", [OLLAMA, OPENAI, OURS, "/api/tags", "/v1/models", "/"])
@pytest.mark.parametrize("origin", [*ALLOWED, *CONFIGURED])
def test_a_preflight_of_an_allowed_page_is_answered_without_a_key(
    client: FlaskClient, path: str, origin: str
) -> None:
    reply = preflight(client, path, origin)
    assert (reply.status_code, reply.data) == (204, b"")
    assert reply.headers["Access-Control-Allow-Origin"] == origin
    assert "POST" in reply.headers["Access-Control-Allow-Methods"]
    assert reply.headers["Access-Control-Allow-Headers"] == "authorization, content-type"
    assert reply.headers["Vary"] == "Origin"


@pytest.mark.parametrize("path", [OLLAMA, OPENAI, OURS])
@pytest.mark.parametrize("origin", [ALLOWED[2], CONFIGURED[0]])
def test_an_allowed_page_may_read_every_reply(client: FlaskClient, path: str, origin: str) -> None:
    for key, status in (("sesame", 404), ("wrong", 401)):
        reply = post(client, path, origin, key)
        assert reply.status_code == status
        assert reply.headers["Access-Control-Allow-Origin"] == origin
        assert "X-Request-ID" in reply.headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize("origin", FOREIGN)
def test_another_page_is_refused_by_the_routes_of_others_and_cannot_read_ours(
    client: FlaskClient, origin: str
) -> None:
    for path in (OLLAMA, OPENAI, OURS):
        assert preflight(client, path, origin).status_code == 403
    replies = [post(client, path, origin) for path in (OLLAMA, OPENAI, OURS)]
    assert [reply.status_code for reply in replies] == [403, 403, 404]
    assert "VISION_CORS_ORIGINS" in replies[0].get_json()["error"]
    assert "VISION_CORS_ORIGINS" in replies[1].get_json()["error"]["message"]
    for reply in (*replies, preflight(client, OLLAMA, origin)):
        assert "Access-Control-Allow-Origin" not in reply.headers


def test_what_is_no_page_or_our_own_page_is_not_concerned(client: FlaskClient) -> None:
    for headers in ({}, {"Origin": "https://vision.example"}, {"Origin": "http://vision.example"}):
        named = {"Authorization": "Bearer sesame", **headers}
        reply = client.post(OLLAMA, json={"model": "nobody"}, headers=named, base_url=HERE)
        assert reply.status_code == 404
        assert "Access-Control-Allow-Origin" not in reply.headers


def test_every_origin_may_be_allowed() -> None:
    client = client_of("*")
    for origin in (*ALLOWED, *FOREIGN):
        reply = post(client, OLLAMA, origin)
        assert reply.headers["Access-Control-Allow-Origin"] == origin
