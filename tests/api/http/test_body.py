"""Bodies: their content coding, and images and JSON under any content type."""

import gzip
import io
import json
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import flask
import pytest
from werkzeug.datastructures import FileStorage
from werkzeug.test import encode_multipart

from api.http import forms
from api.http.body import MAX_MEMBERS
from api.http.request_parsing import ParsedRequest, read_object, read_request
from api.schemas import VisionRequest
from shared.errors import BadRequest, TooLarge, UnsupportedEncoding, VisionError
from tests.api.http.pictures import PNG

LIMIT = 1_000_000
FORM = "application/x-www-form-urlencoded"
FIELDS = {"id": "7", "model": "blip", "images": ["AAAA"]}


def read(body: bytes, kind: str = "application/json", coding: str = "", **more: Any) -> Any:
    app = flask.Flask("test")
    app.config["MAX_CONTENT_LENGTH"] = LIMIT
    headers = {"Content-Encoding": coding} if coding else {}
    with app.test_request_context(
        "/", method="POST", data=body, content_type=kind, headers=headers, **more
    ):
        return read_request(flask.request), flask.g.get("body_id")


def squeezed(data: bytes) -> bytes:
    """Return it as gzip does, without the time of day, which would get into the tests' names."""
    return gzip.compress(data, mtime=0)


def bare_deflate(data: bytes) -> bytes:
    squeeze = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return squeeze.compress(data) + squeeze.flush()


def in_two_members(data: bytes) -> bytes:
    return squeezed(data[:5]) + squeezed(data[5:])


ENCODINGS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", squeezed),
    ("GZIP", squeezed),
    ("x-gzip", squeezed),
    ("gzip, identity", squeezed),
    ("gzip", in_two_members),
    ("deflate", zlib.compress),
    ("deflate", bare_deflate),
    ("identity", bytes),
    ("utf-8", bytes),  # no content coding, but sent by some clients
]


@pytest.mark.parametrize(("coding", "encode"), ENCODINGS)
def test_json_may_be_compressed(coding: str, encode: Callable[[bytes], bytes]) -> None:
    parsed, body_id = read(encode(json.dumps(FIELDS).encode()), coding=coding)
    assert parsed == ParsedRequest(VisionRequest.model_validate(FIELDS), ())
    assert body_id == "7"


@pytest.mark.parametrize(("coding", "encode"), ENCODINGS)
def test_a_form_and_an_image_may_be_compressed(
    coding: str, encode: Callable[[bytes], bytes]
) -> None:
    image = FileStorage(io.BytesIO(PNG), "a")
    boundary, form = encode_multipart({"model": "m", "images": image})
    uploaded, _ = read(encode(form), f"multipart/form-data; boundary={boundary}", coding)
    assert (uploaded.body.model, uploaded.uploads) == ("m", (PNG,))
    assert read(encode(PNG), "image/png", coding)[0].uploads == (PNG,)


def test_a_body_may_have_many_members_of_gzip() -> None:
    text = json.dumps(FIELDS).encode().ljust(9000)
    members = b"".join(squeezed(text[at : at + 2]) for at in range(0, len(text), 2))
    assert read(members, coding="gzip")[0].body.id == "7"


def test_more_are_refused_before_all_are_read() -> None:
    with pytest.raises(TooLarge, match="more than 10,000 members of gzip"):
        read(squeezed(b"") * (MAX_MEMBERS + 1), coding="gzip")


def test_ollamas_requests_may_be_compressed() -> None:
    body = squeezed(b'{"model": "llava"}')
    app = flask.Flask("test")
    headers = {"Content-Encoding": "gzip"}
    with app.test_request_context("/", method="POST", data=body, headers=headers):
        assert read_object(flask.request) == {"model": "llava"}


@pytest.mark.parametrize(
    ("coding", "body", "error", "words"),
    [
        ("br", b"{}", UnsupportedEncoding, "encoded with br"),
        ("zstd", b"{}", UnsupportedEncoding, "encoded with zstd"),
        ("gzip, br", b"{}", UnsupportedEncoding, "encoded with gzip, br"),
        ("gzip, gzip", b"{}", UnsupportedEncoding, "gzip or deflate, once"),
        ("gzip", b"{}", BadRequest, "not encoded as its Content-Encoding says"),
        ("gzip", squeezed(b"{}" * 99)[:-9], BadRequest, "not encoded as its"),
        ("deflate", b"\xff" * 9, BadRequest, "not encoded as its"),
        ("gzip", squeezed(b"{"), BadRequest, "The body is not valid JSON"),
        ("gzip", b"", BadRequest, "The body is not valid JSON"),
        ("gzip", squeezed(bytes(LIMIT + 1)), TooLarge, "too large"),
    ],
)
def test_what_cannot_be_decoded_is_named(
    coding: str, body: bytes, error: type[VisionError], words: str
) -> None:
    with pytest.raises(error, match=words):
        read(body, coding=coding)


@pytest.mark.parametrize(
    "encode", [squeezed, zlib.compress, bare_deflate], ids=["gzip", "zlib", "bare"]
)
def test_a_bomb_is_too_large_and_not_unpacked_beyond_the_limit(
    encode: Callable[[bytes], bytes],
) -> None:
    bomb = encode(bytes(60 * LIMIT))
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            read(bomb, coding="gzip")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * LIMIT


def test_a_decoded_body_as_large_as_the_limit_is_read() -> None:
    body = b'{"images": ["' + b"A" * (LIMIT - 16) + b'"]}'
    assert len(body) == LIMIT
    assert len(read(squeezed(body), coding="gzip")[0].body.images[0]) == LIMIT - 16


@pytest.mark.parametrize(
    "kind", ["application/octet-stream", "", FORM, "binary/octet-stream", "application/json"]
)
def test_an_image_is_taken_as_one_whatever_its_content_type(kind: str) -> None:
    parsed, _ = read(PNG, kind, query_string={"model": "m", "id": "9"})
    assert (parsed.uploads, parsed.body.model, parsed.body.id) == ((PNG,), "m", "9")


@pytest.mark.parametrize("kind", ["application/octet-stream", "", FORM, "text/plain"])
@pytest.mark.parametrize("text", [b'{"model": "blip"}', b' \r\n{"model": "blip"}'])
def test_json_is_still_json(kind: str, text: bytes) -> None:
    assert read(text, kind)[0].body.model == "blip"


def test_a_stream_of_bytes_that_is_neither_is_taken_as_a_damaged_image() -> None:
    """What is wrong with it, check_header says."""
    assert read(b"\x89PNG damaged", "application/octet-stream")[0].uploads == (b"\x89PNG damaged",)


def test_a_form_is_still_a_form() -> None:
    parsed, _ = read(b"model=blip&url=http%3A%2F%2Fa.example", FORM)
    assert (parsed.body.model, parsed.body.url) == ("blip", "http://a.example")


@pytest.mark.parametrize("kind", ["image/png", "application/json", FORM, "multipart/form-data"])
def test_a_body_that_ends_early_is_refused_as_such(kind: str) -> None:
    environ = {"CONTENT_LENGTH": str(len(PNG) + 1), "wsgi.input_terminated": True}
    with pytest.raises(BadRequest, match="ends before it is complete"):
        read(PNG, f"{kind}; boundary=x", environ_overrides=environ)


@pytest.mark.parametrize(
    ("kind", "body", "words"),
    [
        ("multipart/form-data", b"x", "names no boundary"),
        ("multipart/form-data; boundary=x", b"x", "Invalid form-data"),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\na: b\r\n\r\nv\r\n--x--",
            "Content-Disposition",
        ),
    ],
)
def test_a_malformed_form_is_refused_as_such(kind: str, body: bytes, words: str) -> None:
    with pytest.raises(BadRequest, match=f"not valid multipart/form-data: .*{words}"):
        read(body, kind)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-32-be"])
@pytest.mark.parametrize("kind", ["application/octet-stream", "application/json", "text/plain"])
def test_json_is_read_in_any_encoding_and_under_any_type(encoding: str, kind: str) -> None:
    assert read(' {"model": "blip"}'.encode(encoding), kind)[0].body.model == "blip"


def test_an_url_encoded_form_is_cut_into_pieces_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {"prompt": "a+b & 100 % = ü 漢", "images": "AA+/="}
    for piece in range(3, 12):
        monkeypatch.setattr(forms, "PIECE", piece)
        body = read(urlencode(fields).encode(), FORM)[0].body
        assert (body.prompt, body.images) == (fields["prompt"], (fields["images"],))
