"""What our OpenAPI document cannot say, and schemathesis has to know.

An image has to be one; a model has to be one that a worker serves, or else each request is a 404;
and the routes of Ollama and OpenAI need an image where that model needs one.
"""

import base64
from typing import Any

import schemathesis
from hypothesis import strategies
from schemathesis import Response
from schemathesis.core.failures import Failure
from schemathesis.transport.serialization import Binary

from api.http.forms import MULTIPART, URL_ENCODED
from tests.conftest import data_url, plain

IMAGES = [data_url(plain(7)), base64.b64encode(plain(8)).decode()]
FORMS = (MULTIPART, URL_ENCODED)
MODEL = "fake"
OPTIONS = ["", "{}", '{"temperature": 0.5, "stop": ["a"], "num_ctx": 4096}']
SHOWN: dict[str, tuple[str, dict[str, Any]]] = {
    "/v1/chat/completions": (
        "messages",
        {"type": "image_url", "image_url": {"url": IMAGES[0]}},
    ),
    "/v1/responses": ("input", {"type": "input_image", "image_url": IMAGES[0]}),
}
"""Routes with the field of their messages, and a part of a message that is an image."""
Fields = dict[str, Any] | None

schemathesis.openapi.format("image", strategies.sampled_from(IMAGES))
schemathesis.openapi.format("json-object", strategies.sampled_from(OPTIONS))


@schemathesis.hook
def map_path_parameters(context: schemathesis.HookContext, path_parameters: Fields) -> Fields:
    """Name a model that is there, but not in commands, each of which would stop it for a while."""
    is_command = "command" in (path_parameters or ())
    return path_parameters if is_command else _with_known_model(path_parameters)


@schemathesis.hook
def map_query(context: schemathesis.HookContext, query: Fields) -> Fields:
    return _with_known_model(query)


@schemathesis.hook
def filter_body(context: schemathesis.HookContext, body: Any) -> bool:
    """Leave out what is taken for JSON whatever its type: PhotoPrism's clients mislabel it."""
    return not isinstance(body, Binary) or body.data.lstrip()[:1] not in (b"", b"{", b"[")


@schemathesis.hook
def map_body(context: schemathesis.HookContext, body: Any) -> Any:
    if not isinstance(body, dict):
        return body
    _with_known_model(body)
    if is_for(context, "/api/generate") and body.get("images") in (None, [], ()):
        body["images"] = IMAGES[:1]
    for path, (field, part) in SHOWN.items():
        if is_for(context, path):
            _show(body, field, part)
    return body


def _show(body: dict[str, Any], field: str, part: dict[str, Any]) -> None:
    """Add an image to valid messages."""
    given = body.get(field)
    if field == "input" and isinstance(given, str):
        given = [{"role": "user", "content": given}]
    if isinstance(given, list) and given:
        body[field] = [*given, {"role": "user", "content": [part]}]


def is_for(context: schemathesis.HookContext, path: str) -> bool:
    return context.operation is not None and context.operation.path == path


def _with_known_model(fields: Fields) -> Fields:
    """Put known words in the place of valid ones."""
    for name, word in (("model", MODEL), ("version", "latest")):
        given = (fields or {}).get(name)
        if fields and isinstance(given, str) and 0 < len(given) <= 256:
            fields[name] = word
    return fields


@schemathesis.hook
def filter_failure(
    context: schemathesis.HookContext,
    failure: Failure,
    case: schemathesis.Case[Any],
    response: Response,
) -> bool:
    """Keep two findings, which are meant to be so.

    An image that is none does not make a request fail if others can be read. And what is no text
    becomes one in a form, so that a field of another type cannot be sent.
    """
    is_image = "violates `format`" in failure.message
    is_form = case.media_type in FORMS and "violates `type`" in failure.message
    return not (is_image or is_form)
