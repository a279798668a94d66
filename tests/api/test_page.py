"""What is at ``/``: the page for browsers, and Ollama's greeting for everybody else."""

import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from api import create_app
from shared.settings import Settings
from tests.stack import ROOT

CHROMIUM = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
STATIC = ROOT / "api" / "page" / "static"
SCRIPTS = sorted(STATIC.glob("*.js"))
PLACES = ("/", *(f"/page/{path.name}" for path in sorted(STATIC.iterdir())))


def client_with(**settings: object) -> FlaskClient:
    given = {"redis_url": "redis://127.0.0.1:1/0", **settings}
    return create_app(Settings.model_validate(given)).test_client()


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    return client_with()


def page(client: FlaskClient) -> str:
    return client.get("/", headers={"Accept": CHROMIUM}).text


@pytest.mark.parametrize("accept", [CHROMIUM, "text/html", "text/html, text/plain;q=0.5"])
def test_who_prefers_html_gets_the_page(client: FlaskClient, accept: str) -> None:
    reply = client.get("/", headers={"Accept": accept})
    assert reply.mimetype == "text/html"
    assert reply.text.startswith("<!doctype html>")
    assert "Accept" in reply.headers["Vary"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "accept", [None, "*/*", "application/json", "application/x-ndjson", "text/plain, text/html"]
)
def test_all_others_get_ollamas_greeting(
    client: FlaskClient, method: str, accept: str | None
) -> None:
    reply = client.open("/", method=method, headers={"Accept": accept} if accept else {})
    assert reply.status_code == 200
    assert reply.mimetype == "text/plain"
    assert reply.text == ("Ollama is running" if method == "GET" else "")
    assert "Accept" in reply.headers["Vary"]


@pytest.mark.parametrize("place", PLACES)
def test_a_browser_loads_and_runs_nothing_else(client: FlaskClient, place: str) -> None:
    reply = client.get(place, headers={"Accept": CHROMIUM}, buffered=True)
    assert reply.status_code == 200
    policy = dict(
        rule.split(" ", 1) for rule in reply.headers["Content-Security-Policy"].split("; ")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in reply.headers["Content-Security-Policy"]
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["Referrer-Policy"] == "no-referrer"


def test_a_browser_asks_whether_its_copy_is_still_right(client: FlaskClient) -> None:
    for place in PLACES:
        reply = client.get(place, headers={"Accept": CHROMIUM}, buffered=True)
        assert reply.headers["Cache-Control"] == "no-cache"
        headers = {"Accept": CHROMIUM, "If-None-Match": reply.headers["ETag"]}
        assert client.get(place, headers=headers, buffered=True).status_code == 304


def test_the_page_names_each_task_once_and_only_relative_addresses(client: FlaskClient) -> None:
    html = page(client)
    tasks = re.findall(r'name="task" value="(\w*)"', html)
    assert tasks == ["", "caption", "labels", "nsfw", "face", "answer"]
    addresses = re.findall(r'(?:href|src)="([^"#]+)"', html)
    assert addresses
    assert all(re.match(r"page/|docs$", address) for address in addresses)


def test_the_page_needs_no_key_and_shows_nothing_of_the_service_before_one_is_given() -> None:
    keyed = page(client_with(api_keys=("sesame",), models=("opennsfw",)))
    assert re.search(r'<div id="service"[^>]*hidden', keyed)
    assert re.search(r'<form id="key-form"(?![^>]*hidden)', keyed)
    assert "opennsfw" not in keyed
    assert "sesame" not in keyed
    open_to_all = page(client_with())
    assert not re.search(r'<div id="service"[^>]*hidden', open_to_all)
    assert re.search(r'<form id="key-form"[^>]*hidden', open_to_all)


def test_there_is_no_script_and_no_style_in_the_page_itself(client: FlaskClient) -> None:
    html = page(client)
    assert re.findall(r"<script[^>]*>(?!</script>)", html) == []
    assert "<style" not in html
    assert not re.search(r'\s(?:style|on\w+)="', html)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.name))
def test_scripts_are_short_and_make_nodes_of_text_only(path: Path) -> None:
    script = path.read_text(encoding="utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", script)
    assert script.count("\n") <= 250


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "flower:5555", "http://:5555", "http://nas:55555555", "http://["]
)
def test_flowers_address_must_be_one_that_a_link_may_have(url: str) -> None:
    with pytest.raises(ValueError, match="a browser could not open this address"):
        Settings.model_validate({"flower_url": url})


@pytest.mark.parametrize("url", ["", "https://flower.example/", "http://[::1]:5555"])
def test_flowers_address_stays_as_it_was_written(url: str) -> None:
    assert Settings.model_validate({"flower_url": url}).flower_url == url
