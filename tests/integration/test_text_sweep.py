"""Every field of forms, queries and paths with every kind of text: no answer is 500."""

from collections import Counter
from collections.abc import Iterator
from itertools import product
from typing import Any
from urllib.parse import quote, quote_from_bytes

import pytest
import requests

from tests.conftest import data_url, plain
from tests.integration.test_field_sweep import IMAGE, SERVED, UNSERVED
from tests.stack import API, Stack

PNG = plain(7)
FIELDS = ("id", "model", "version", "prompt", "url", "images", "options", "stream", "unknown")
TEXTS = [
    *(b"", b" ", b"x", b"null", b"0", b"-1", b"1e400", b"NaN", b"true", b"[]", b"{}", b'{"a":'),
    *(
        b'{"temperature":"x"}',
        b'{"temperature":1e999}',
        b'{"stop":[0]}',
        b'"\\ud83d"',
        b"%",
        b"%zz",
    ),
    *(b"\0", b"\r\nX-Evil: 1", b"\xff\xfe", b"\xed\xa0\x80", "ü漢😀".encode(), "\u202ea".encode()),
    *(b"../..", b"a/b", b"a:b", b"latest", b"fake", b"fake:7", b"'", b"<script>", b"a" * 2000),
    *(b"http://127.0.0.1:1/", b"http://[", b"https://", b"file:///x", b"data:,", b"data:;base64,"),
    *(IMAGE.encode(), data_url(PNG).encode(), b"=" * 99),
]


@pytest.fixture(scope="module")
def base(stack: Stack, api: str) -> str:
    stack.worker("fake")
    return stack.api(VISION_MODELS="fake", VISION_TIMEOUT="10")


def url_encoded() -> Iterator[tuple[str, str, dict[str, Any]]]:
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    for name, text in product(FIELDS, TEXTS):
        for also in (f"&images={quote(IMAGE, safe='')}", ""):
            body = f"{name}={quote_from_bytes(text, safe='')}{also}"
            yield "POST", f"{API}/caption", {"data": body, "headers": kind}


def multipart() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for name, text in product(FIELDS, TEXTS):
        as_field, as_file = (name, (None, text)), (name, ("a", text))
        yield "POST", f"{API}/caption", {"files": [as_field, ("images", PNG)]}
        yield "POST", API, {"files": [as_file]}


def queries() -> Iterator[tuple[str, str, dict[str, Any]]]:
    image = {"data": PNG, "headers": {"Content-Type": "image/png"}}
    for name, text in product(FIELDS, TEXTS):
        query = f"{name}={quote_from_bytes(text, safe='')}"
        yield "GET", f"{API}/caption?{query}", {}
        yield "POST", f"{API}/caption?{query}", image


def paths() -> Iterator[tuple[str, str, dict[str, Any]]]:
    body = {"json": {"images": [IMAGE]}}
    for text in TEXTS:
        word = quote_from_bytes(text, safe="")
        for path in ("{}", "caption/{}", "caption/fake/{}", "models/{}/x", "models/{}/{}"):
            yield "POST", f"{API}/{path.replace('{}', word)}", body
        yield "POST", f"/api/{word}", body
        yield "GET", f"/{word}", {}
        yield "GET", f"/v1/models/{word}", {}


SWEEPS = [
    paths,
    *(pytest.param(s, marks=pytest.mark.slow) for s in (url_encoded, multipart, queries)),
]


@pytest.mark.parametrize("cases", SWEEPS)
def test_no_text_anywhere_is_a_500(base: str, cases: Any) -> None:
    found, wrong = Counter[int](), []
    with requests.Session() as session:
        for method, path, request in cases():
            reply = session.request(method, base + path, timeout=30, **request)
            found[reply.status_code] += 1
            error = "" if reply.ok else str(reply.json()["error"])
            if reply.status_code not in (*SERVED, *UNSERVED, 405) or "\n" in error:
                wrong.append(f"{method} {path[:100]} {str(request)[:200]}: {reply.text[:300]}")
    assert not wrong, "\n".join(wrong)
    assert found[200]
    assert found[400] + found[404] > len(TEXTS)
