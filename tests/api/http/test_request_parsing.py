import io
import json
from typing import Any

import flask
import pytest

from api.http.request_parsing import ParsedRequest, check_input, read_request
from api.schemas import VisionRequest
from shared.errors import BadRequest
from shared.options import Options
from shared.tasks import CAPTION
from tests.api.http.pictures import BASE64, PNG


def read(**request: Any) -> ParsedRequest:
    """Read a request as the routes do."""
    app = flask.Flask("test")
    with app.test_request_context("/", **request):
        return read_request(flask.request)


def read_json(body: object) -> ParsedRequest:
    return read(method="POST", data=body if isinstance(body, bytes) else json.dumps(body))


def test_all_fields_of_a_json_body_are_read() -> None:
    parsed = read_json(
        {
            "id": "6d1bd9c6-6e0b-4f0f-9a53-4cbe2f4a8d35",
            "model": "blip",
            "version": "large",
            "prompt": "a photo of",
            "images": [BASE64],
            "url": "https://example.com/cat.jpg",
            "options": {"temperature": 0.1, "num_ctx": 4096},
            "stream": False,
            "schema": {"type": "object"},
            "unknown": "fields are ignored",
        }
    )

    assert parsed.uploads == ()
    assert parsed.body == VisionRequest(
        id="6d1bd9c6-6e0b-4f0f-9a53-4cbe2f4a8d35",
        model="blip",
        version="large",
        prompt="a photo of",
        images=(BASE64,),
        url="https://example.com/cat.jpg",
        options=Options.model_validate({"temperature": 0.1, "num_ctx": 4096}),
        schema={"type": "object"},
        stream=False,
    )


def test_null_means_absent() -> None:
    fields = [*VisionRequest.model_fields, "schema"]

    assert read_json(dict.fromkeys(fields)).body == VisionRequest()


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/octet-stream", ""])
def test_json_is_read_whatever_its_content_type(kind: str) -> None:
    parsed = read(method="POST", data=b'{"model": "blip"}', headers={"Content-Type": kind})

    assert parsed.body.model == "blip"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        pytest.param({"id": 5}, "id: ", id="id-is-a-number"),
        pytest.param({"id": ["a"]}, "id: ", id="id-is-a-list"),
        pytest.param({"id": "a b"}, "id: ", id="id-with-space"),
        pytest.param({"id": "a\r\nSet-Cookie: x"}, "id: ", id="id-with-line-break"),
        pytest.param({"id": "a" * 129}, "id: ", id="id-too-long"),
        pytest.param({"model": {}}, "model: ", id="model"),
        pytest.param({"version": 1.0}, "version: ", id="version"),
        pytest.param({"prompt": 1}, "prompt: ", id="prompt"),
        pytest.param({"url": []}, "url: ", id="url"),
        pytest.param({"images": BASE64}, "images: ", id="images-is-no-list"),
        pytest.param({"images": [BASE64, None]}, "images.1: ", id="one-image-is-null"),
        pytest.param({"images": [{"data": ""}]}, "images.0: ", id="image-is-an-object"),
        pytest.param({"options": [1]}, "options: ", id="options"),
        pytest.param({"options": {"top_p": "hot"}}, "options.top_p: ", id="option"),
        pytest.param({"options": {"top_p": float("nan")}}, "options.top_p: ", id="option-nan"),
        pytest.param(b'{"options": {"top_p": 1e400}}', "options.top_p: ", id="option-endless"),
        pytest.param(b'{"schema": {"a": [1, -1e999]}}', "schema.a.1: ", id="schema-endless"),
        pytest.param(["a"], "body: ", id="array"),
        pytest.param("text", "body: ", id="string"),
        pytest.param(None, "body: ", id="null"),
    ],
)
def test_a_field_of_the_wrong_type_is_named(body: object, field: str) -> None:
    with pytest.raises(BadRequest, match="The request is malformed: ") as caught:
        read_json(body)

    assert field in caught.value.message


@pytest.mark.parametrize(
    ("sent", "read_as"),
    [("true", True), ("false", False), ("", None), ("low", "low"), (True, True), (None, None)],
)
def test_whether_to_think_may_be_text(sent: object, read_as: object) -> None:
    assert read_json({"think": sent}).body.think == read_as


def test_the_message_does_not_repeat_what_the_client_sent() -> None:
    with pytest.raises(BadRequest) as caught:
        read_json({"id": "secret secret", "images": {"data": "secret"}})

    assert "secret" not in caught.value.message
    assert len(caught.value.message) < 400


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="malformed"),
        pytest.param(b"model=blip", id="form-without-type"),
        pytest.param(b'{"id": "\xff"}', id="not-utf-8"),
        pytest.param(b"[" * 10_000 + b"]" * 10_000, id="deeply-nested-array"),
        pytest.param(b'{"a":' * 10_000 + b"1" + b"}" * 10_000, id="deeply-nested-object"),
        pytest.param(b'{"seed": ' + b"9" * 5000 + b"}", id="endless-number"),
    ],
)
def test_what_is_not_json_is_a_bad_request(body: bytes) -> None:
    with pytest.raises(BadRequest, match=r"The body is not valid JSON: "):
        read_json(body)


def test_a_form_carries_files_fields_and_options() -> None:
    parsed = read(
        method="POST",
        data={
            "images": [(io.BytesIO(PNG), "a.png"), (io.BytesIO(b"two"), "b.jpg")],
            "id": "7",
            "model": "blip",
            "options": '{"temperature": 0.5}',
            "unknown": "ignored",
        },
    )

    assert parsed.uploads == (PNG, b"two")
    assert parsed.body == VisionRequest(id="7", model="blip", options=Options(temperature=0.5))


@pytest.mark.parametrize("kind", ["multipart/form-data", "application/x-www-form-urlencoded"])
def test_a_form_may_carry_images_as_text(kind: str) -> None:
    data = {"images": [BASE64, "data:,"], "url": "https://example.com/cat.jpg"}

    parsed = read(method="POST", data=data, content_type=kind)

    assert parsed.body.images == (BASE64, "data:,")
    assert parsed.body.url == "https://example.com/cat.jpg"


@pytest.mark.parametrize(
    ("form", "message"),
    [
        pytest.param({"options": "{hot}"}, "`options` is not valid JSON", id="no-json"),
        pytest.param({"options": "[1]"}, "options: ", id="no-object"),
        pytest.param({"id": "a b"}, "id: ", id="id"),
    ],
)
def test_a_form_with_a_bad_field_is_a_bad_request(form: dict[str, str], message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        read(method="POST", data=form)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_query_carries_the_fields_of_one_image(method: str) -> None:
    query = {"url": "https://example.com/a b.jpg", "id": "9", "model": "blip", "version": "large"}

    parsed = read(method=method, query_string={**query, "prompt": "hi", "nobody": "knows"})

    assert parsed == ParsedRequest(VisionRequest(**query, prompt="hi"), ())


@pytest.mark.parametrize("name", ["images", "options"])
def test_a_query_ignores_the_fields_that_only_bodies_have(name: str) -> None:
    parsed = read(method="GET", query_string={"model": "blip", name: "x"})

    assert parsed == ParsedRequest(VisionRequest(model="blip"), ())


def test_json_that_curl_labels_as_a_form_is_read_as_json() -> None:
    form = "application/x-www-form-urlencoded"
    assert read(method="POST", data='{"id": "x"}', content_type=form).body.id == "x"


def test_an_image_may_be_the_whole_body() -> None:
    parsed = read(method="POST", data=PNG, content_type="image/png", query_string={"model": "m"})
    assert (parsed.body.model, parsed.uploads) == ("m", (PNG,))


def test_the_id_of_a_malformed_request_is_returned_too() -> None:
    app = flask.Flask("test")
    body = json.dumps({"id": "kept", "images": 5})
    with app.test_request_context("/", method="POST", data=body):
        with pytest.raises(BadRequest):
            read_request(flask.request)
        assert flask.g.request_id == "kept"


@pytest.mark.parametrize(
    ("request_of_fields", "named"),
    [
        pytest.param({"data": {"file": (io.BytesIO(PNG), "a.png")}}, ("file",), id="upload"),
        pytest.param({"data": {"photo": (io.BytesIO(PNG), ""), "id": "7"}}, ("photo",), id="blob"),
        pytest.param({"data": {"image": BASE64, "model": "m"}}, ("image",), id="text"),
        pytest.param({"json": {"file": 1, "image": BASE64}}, ("file", "image"), id="json"),
        pytest.param({"json": {"schema": {}, "images": []}}, (), id="known"),
    ],
)  # fmt: skip
def test_fields_that_are_not_known_are_named_when_the_image_is_missing(
    request_of_fields: dict[str, Any], named: tuple[str, ...]
) -> None:
    parsed = read(method="POST", **request_of_fields)

    assert parsed.ignored == named
    with pytest.raises(BadRequest, match="There is no image") as caught:
        check_input([CAPTION], "", [], parsed.ignored)
    assert all(f"'{name}'" in caught.value.message for name in named)
    assert ("not known here" in caught.value.message) is bool(named)


def test_many_and_long_names_make_no_long_message() -> None:
    fields = {f"{n}\r\n\x1b" + "x" * 1000: 1 for n in range(100)}
    with pytest.raises(BadRequest) as caught:
        check_input([CAPTION], "", [], read_json(fields).ignored)

    assert len(caught.value.message) < 600
    assert caught.value.message.isprintable()
