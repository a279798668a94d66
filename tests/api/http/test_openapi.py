"""The OpenAPI document and the page that shows it."""

import re
from urllib.parse import urljoin

import pytest
from flask.testing import FlaskClient
from werkzeug.test import EnvironBuilder

from api import create_app
from api.front.triage import Needs, triage
from api.http.request_parsing import FORM_FIELDS
from shared.settings import Settings

EXAMPLES = {
    "task": "caption",
    "command": "recycle",
    "what": "pull",
    "run": "01234567-89ab-cdef-0123-456789abcdef",
}
"""What an argument in a path may be, where it may not be anything."""


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    return create_app(Settings(redis_url="redis://127.0.0.1:1/0")).test_client()


def test_the_document_has_every_route_and_each_kind_of_body(client: FlaskClient) -> None:
    document = client.get("/openapi.json").get_json()
    paths = document["paths"]
    assert document["openapi"].startswith("3.")
    assert {"/livez", "/readyz", "/api/v1/vision", "/api/v1/vision/models"} <= set(paths)
    operation = paths["/api/v1/vision/{task}/{model}/{version}"]["post"]
    assert set(operation["requestBody"]["content"]) == {
        "application/json", "multipart/form-data", "application/x-www-form-urlencoded", "image/*",
        "application/octet-stream",
    }  # fmt: skip
    assert set(operation["responses"]) == {
        "200", "400", "401", "404", "408", "413", "414", "415", "422", "429", "431", "500", "502",
        "503", "504",
    }  # fmt: skip
    generate = paths["/api/generate"]["post"]["responses"]
    assert set(generate) == {
        "200", "400", "401", "403", "404", "408", "413", "414", "415", "422", "429", "431", "500",
        "502", "503", "504",
    }  # fmt: skip
    assert set(generate["200"]["content"]) == {"application/json", "application/x-ndjson"}
    completions = paths["/v1/chat/completions"]["post"]["responses"]
    assert set(completions) == set(generate)
    assert set(completions["200"]["content"]) == {"application/json", "text/event-stream"}
    assert "/v1/models/{model}" in paths


def test_groups_of_operations_are_described_with_the_photos_first(client: FlaskClient) -> None:
    document = client.get("/openapi.json").get_json()
    described = [tag["name"] for tag in document["tags"] if tag["description"]]
    operations = [each for path in document["paths"].values() for each in path.values()]
    assert described[0] == "vision"
    assert {tag for each in operations for tag in each["tags"]} == set(described)


def test_each_operation_has_the_errors_that_come_from_the_front(client: FlaskClient) -> None:
    app = client.application
    for path, operations in client.get("/openapi.json").get_json()["paths"].items():
        for method, operation in operations.items():
            used = re.sub(r"\{(\w+)\}", lambda name: EXAMPLES.get(name[1], "x"), path)
            environ = EnvironBuilder(path=used, method=method.upper()).get_environ()
            needs = triage(app, Settings(), environ).needs
            found = set(operation["responses"])
            assert {"414", "431"} <= found, path
            assert ("429" in found) == (needs not in (Needs.NOTHING, Needs.FILE)), path


@pytest.mark.parametrize(
    ("path", "form"), [("/v1/responses", "OpenAiError"), ("/api/generate", "ErrorReply")]
)
def test_errors_have_the_form_of_their_door(client: FlaskClient, path: str, form: str) -> None:
    responses = client.get("/openapi.json").get_json()["paths"][path]["post"]["responses"]
    for status in ("400", "503"):
        schema = responses[status]["content"]["application/json"]["schema"]
        assert schema == {"$ref": f"#/components/schemas/{form}"}


def test_the_form_has_each_field_that_is_read(client: FlaskClient) -> None:
    schemas = client.get("/openapi.json").get_json()["components"]["schemas"]
    assert set(schemas["UploadForm"]["properties"]) == {*FORM_FIELDS, "images", "options"}


@pytest.mark.parametrize("name", ["VisionRequest", "UploadForm", "GenerateRequest", "ChatMessage"])
def test_the_document_says_how_many_images_are_allowed(name: str) -> None:
    settings = Settings(redis_url="redis://127.0.0.1:1/0", max_images=3)
    document = create_app(settings).test_client().get("/openapi.json").get_json()
    images = document["components"]["schemas"][name]["properties"]["images"]
    assert images.get("anyOf", [images])[0]["maxItems"] == 3


def test_fields_beside_an_image_as_body_are_documented_as_query(client: FlaskClient) -> None:
    operation = client.get("/openapi.json").get_json()["paths"]["/api/v1/vision"]["post"]
    assert {parameter["name"] for parameter in operation["parameters"]} == {
        "id", "model", "version", "prompt", "X-Priority",
    }  # fmt: skip


def test_a_get_is_documented_by_its_query(client: FlaskClient) -> None:
    operation = client.get("/openapi.json").get_json()["paths"]["/api/v1/vision/{task}"]["get"]
    assert {"id", "url", "model", "version", "prompt", "task", "X-Priority"} == {
        parameter["name"] for parameter in operation["parameters"]
    }


def test_the_page_needs_nothing_from_other_hosts(client: FlaskClient) -> None:
    page = client.get("/docs").text
    assert 'url: "docs/openapi.json"' in page
    shown = client.get("/docs/openapi.json").get_json()
    assert shown.pop("servers")[0]["url"] == ".."
    assert shown == client.get("/openapi.json").get_json()
    assert "://" not in page


@pytest.mark.parametrize("path", ["/docs", "/docs/"])
def test_a_proxy_may_serve_the_page_below_a_path(client: FlaskClient, path: str) -> None:
    addresses = re.findall(r'(?:href|src)="([^"]*)"|url: "([^"]*)"', client.get(path).text)
    assert len(addresses) >= 7
    for address in map("".join, addresses):
        assert not address.startswith("/")
        with client.get(urljoin(path, address)) as found:
            assert found.status_code == 200, address


def test_every_reference_in_the_document_resolves(client: FlaskClient) -> None:
    document = client.get("/openapi.json").get_json()
    text = client.get("/openapi.json").text
    for name in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert name in document["components"]["schemas"]
