"""No body costs more than three times its size in memory, or stops the API's other threads."""

import base64
import json
import math
import os
import time
from collections.abc import Callable, Collection, Iterable
from typing import Any
from urllib.parse import quote

import flask
import pytest
from flask.testing import FlaskClient

from api import create_app
from api.http.client_connection import client_of
from api.http.json_bounds import MAX_CONTAINERS, MAX_TEXT, MAX_VALUES
from api.http.request_images import read_images
from api.http.request_parsing import read_request
from shared.settings import Settings
from shared.tasks import LABELS
from shared.units import MEGA
from tests.api.http.cost import Cost, cost_of
from tests.api.http.hostile_bodies import END, FORM, HOSTILE, JSON, MULTIPART, PART, members
from tests.api.http.pictures import PNG

DOORS = (
    "/api/v1/vision/caption",
    pytest.param("/api/generate", marks=pytest.mark.slow),
    pytest.param("/api/chat", marks=pytest.mark.slow),
    pytest.param("/v1/chat/completions", marks=pytest.mark.slow),
    pytest.param("/v1/responses", marks=pytest.mark.slow),
)
AT_ONCE = {
    "ones", "messages", "keys", "deep-format", "escapes", "halves", "emoji", "utf-16",
    "url-encoded-fields", "url-encoded-escapes", "parts", "headers",
}  # fmt: skip
"""Bodies that are tried in the quick tests: one for each way to be large. The others are slow."""
SIZE = 10 * MEGA
CONSTANT = 64 * MEGA
"""Bytes that a small body may cost beside: it may have as many values as are allowed."""
LOCK_S = 0.1
"""The longest that others wait; at 60 MB twice as long, because the parser alone takes a tenth of a
second for a string of that size if it has escapes."""


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    return create_app(Settings(redis_url="redis://127.0.0.1:1/0")).test_client()


def check_cost(call: Callable[[], object], size: int, parsing_s: float = 0.0) -> None:
    """Measure up to ten times: other processes may slow one down at any time."""
    costs: list[Cost] = []
    longest_s = max(LOCK_S, LOCK_S * 2 * size / (60 * MEGA), 2 * parsing_s)
    while len(costs) < 10 and (not costs or costs[-1].lock_s > longest_s):
        costs.append(cost_of(call))
    assert costs[-1].memory < 3 * size + CONSTANT
    assert costs[-1].lock_s < longest_s


def these_at_once(quick: Collection[str], names: Iterable[str]) -> list[Any]:
    """Return parameters of a test: the names, of which some are quick and the others slow."""
    slow = pytest.mark.slow
    return [name if name in quick else pytest.param(name, marks=slow) for name in names]


@pytest.mark.parametrize("name", these_at_once(AT_ONCE, HOSTILE))
@pytest.mark.parametrize("door", DOORS)
def test_a_hostile_body_is_refused_before_it_costs_much(
    client: FlaskClient, door: str, name: str
) -> None:
    body, kind = HOSTILE[name].make(SIZE), HOSTILE[name].kind
    replies = []
    check_cost(lambda: replies.append(client.post(door, data=body, content_type=kind)), len(body))
    for reply in replies:
        assert reply.status_code in (400, 413)
        assert "\n" not in str(reply.get_json()["error"])


ALLOWED = {
    "ones": b'{"context":[%s]}' % b",".join([b"1"] * (MAX_VALUES - 2)),
    "strings": b'{"context":[%s]}' % b",".join([b'"ab"'] * (MAX_VALUES - 2)),
    "objects": b'{"schema":[%s]}' % b",".join([b'{"a":1}'] * (MAX_CONTAINERS - 2)),
    "keys": members(MAX_VALUES * 14),
    "options": b'{"options":%s}' % members(MAX_VALUES * 14 - 28),
    "stop": b'{"options":{"stop":[%s]}}' % b",".join([b'"a"'] * (MAX_VALUES - 3)),
    "text": b'{"prompt":"%s"}' % ("漢" * (MAX_TEXT // 3)).encode(),
    "halves": rb'{"prompt":"%s"}' % (rb"\ud83d" * (MAX_TEXT // 6)),
}  # fmt: skip


@pytest.mark.parametrize("name", these_at_once({"objects", "stop", "halves"}, ALLOWED))
def test_the_most_that_is_allowed_costs_little(name: str) -> None:
    body = ALLOWED[name]
    assert read(body, JSON) == ()
    check_cost(lambda: read(body, JSON), len(body), parsing_s=parsing_s(body))


def parsing_s(body: bytes) -> float:
    """Return the seconds that the parser alone takes on this machine, as busy as it is now."""
    started = time.process_time()
    json.loads(body)
    return time.process_time() - started


MANY = b",".join([b"1"] * (MAX_VALUES - 9))
FAULTY = {
    "messages": ("chat/completions", b'{"model":"blip","messages":[%s]}'),
    "parts": ("chat/completions", b'{"model":"blip","messages":[{"role":"user","content":[%s]}]}'),
    "stop": ("chat/completions", b'{"model":"blip","messages":[],"stop":[%s]}'),
    "input": ("responses", b'{"model":"blip","input":[%s]}'),
    "contents": ("responses", b'{"model":"blip","input":[{"role":"user","content":[%s]}]}'),
}


@pytest.mark.parametrize("name", FAULTY)
def test_a_body_of_very_many_faults_costs_little(client: FlaskClient, name: str) -> None:
    call, template = FAULTY[name]
    body, replies = template % MANY, []
    check_cost(lambda: replies.append(client.post(f"/v1/{call}", data=body)), len(body))
    assert {reply.status_code for reply in replies} == {400}


def image(size: int) -> bytes:
    """Return an image of about a size."""
    return PNG + os.urandom(size - len(PNG))


def in_base64(size: int) -> bytes:
    return base64.b64encode(image(size * 3 // 4))


def in_json(size: int, template: bytes = b'{"images":["%s"]}') -> bytes:
    return template % in_base64(size)


def in_lines(size: int) -> bytes:
    return base64.encodebytes(image(size * 7 // 10)).replace(b"\n", rb"\r\n")


HONEST: dict[str, tuple[str, Callable[[int], bytes]]] = {
    "base64": (JSON, in_json),
    "two": (JSON, lambda size: b'{"images":["%s","%s"]}' % ((in_base64(size // 2),) * 2)),
    "emoji": (JSON, lambda size: in_json(size, '{"prompt":"😀","images":["%s"]}'.encode())),
    "half": (JSON, lambda size: in_json(size, rb'{"prompt":"\ud83d","images":["%s"]}')),
    "data-url": (JSON, lambda size: in_json(size, b'{"images":["data:image/png;base64,%s"]}')),
    "php": (JSON, lambda size: in_json(size).replace(b"/", rb"\/")),
    "dot-net": (JSON, lambda size: in_json(size * 9 // 10).replace(b"+", rb"\u002B")),
    "line-breaks": (JSON, lambda size: b'{"images":["%s"]}' % in_lines(size)),
    "url-encoded": (FORM, lambda size: b"images=" + quote(in_base64(size * 9 // 10)).encode()),
    "field": (MULTIPART, lambda size: PART + b"\r\n\r\n" + in_base64(size) + END),
    "file": (MULTIPART, lambda size: PART + b'; filename="a"\r\n\r\n' + image(size) + END),
    "image": ("image/png", image),
}


@pytest.mark.slow
@pytest.mark.parametrize("size", [SIZE, 60 * MEGA])
@pytest.mark.parametrize("name", HONEST)
def test_large_images_are_read_at_three_times_their_size(name: str, size: int) -> None:
    kind, make = HONEST[name]
    body = make(size)
    assert all(image.startswith(PNG) for image in read(body, kind))
    check_cost(lambda: read(body, kind), len(body))


def read(body: bytes, kind: str) -> tuple[bytes, ...]:
    """Read a request and its images as the vision routes do."""
    app = flask.Flask("test")
    app.config["MAX_CONTENT_LENGTH"] = 64 * MEGA
    with app.test_request_context("/", method="POST", data=body, content_type=kind):
        parsed = read_request(flask.request)
        return read_images(parsed, (LABELS,), Settings(), math.inf, client_of({})).images
