"""Parses requests: from HTTP to validated fields and encoded images."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from flask import Request
from pydantic import ValidationError

from api.http import request_id
from api.http.body import begins_as_json, decoded, is_image, read_body
from api.http.forms import MULTIPART, URL_ENCODED, Form, read_multipart, read_url_encoded
from api.http.json_bounds import check_text
from api.http.json_text import parse_json
from api.schemas import UrlQuery, VisionRequest
from shared.errors import BadRequest
from shared.messages import JsonObject
from shared.options import Options
from shared.tasks.registry import find_task

FORM_FIELDS = ("id", "model", "version", "prompt", "url")
JSON_FIELDS = tuple(field.alias or name for name, field in VisionRequest.model_fields.items())
_TEXTS = [name for name in JSON_FIELDS if name not in ("images", "url")]
"""Fields that hold no image."""
_NO_QUERY = VisionRequest()


class ParsedRequest(NamedTuple):
    """A vision request: its validated fields, and the files uploaded with it."""

    body: VisionRequest
    uploads: tuple[bytes, ...]
    ignored: tuple[str, ...] = ()
    """Names of fields that are not known here; one of them may have been meant as the image."""


def read_request(request: Request) -> ParsedRequest:
    """Read fields from the query string, a JSON body or a form; an image may be the whole body.

    Raises:
        BadRequest: not JSON, or a field of the wrong type; the message names the field.
        TooLarge: the body is too large.
        UnsupportedEncoding: the body is compressed in a way that is not understood.
    """
    query = _validate(_query(request)) if request.query_string else _NO_QUERY
    if request.method in ("GET", "HEAD"):
        return ParsedRequest(query, ())
    request = decoded(request)
    if request.mimetype == MULTIPART:
        return _read_form(read_multipart(request))
    body = read_body(request)
    if is_image(request, body):
        return ParsedRequest(query, (body,))
    # `curl -d` labels JSON as a form.
    if request.mimetype == URL_ENCODED and (not body or not begins_as_json(body)):
        return _read_form(read_url_encoded(body))
    fields = parse_json(body, "The body")
    return ParsedRequest(_validate(fields), (), _unknown(fields, JSON_FIELDS))


def read_object(request: Request) -> JsonObject:
    """Read the body as a JSON object, whatever its content type.

    Raises:
        BadRequest, TooLarge, UnsupportedEncoding: as :func:`read_request`.
    """
    value = parse_json(read_body(decoded(request)), "The body")
    if not isinstance(value, dict):
        raise BadRequest("The body is not a JSON object.")
    request_id.adopt(value.get("id"))
    return value


def read_options(value: object) -> Options:
    """Read the field ``options`` of a request in Ollama's form; ``None`` means that there is none.

    Raises:
        BadRequest: no object, or an option of the wrong type; the message names it.
    """
    try:
        return Options.model_validate({} if value is None else value)
    except ValidationError as err:
        raise BadRequest(malformed(err, "options")) from err


def check_input(
    tasks: Iterable[str], prompt: str, images: Sequence[bytes], ignored: Sequence[str] = ()
) -> None:
    """Raise an error if the request lacks an image or a prompt that one of its tasks needs.

    Args:
        tasks: their names.
        prompt: the prompt; empty: none.
        images: the encoded images.
        ignored: names of fields that are not known here, for the message.

    Raises:
        BadRequest: the message says what is missing and how to send it.
    """
    for task in map(find_task, tasks):
        if task.needs_image and not images:
            names = ", ".join(f"{name[:40]!r}" for name in ignored[:5])
            also = f"These fields are not known here: {names}. " if names else ""
            raise BadRequest(
                f"There is no image. {also}Send it as a data URL, base64 or an http(s) URL in "
                "`images`, as `url`, or as form field `images`."
            )
        if task.needs_text and not prompt:
            raise BadRequest(f"{task.name} needs a `prompt`.")


def _query(request: Request) -> dict[str, object]:
    return {name: request.args.get(name) for name in UrlQuery.model_fields}


def _read_form(form: Form) -> ParsedRequest:
    for name in (*FORM_FIELDS, "options"):
        if len(form.texts.getlist(name)) > 1:
            raise BadRequest(f"The request is malformed: {name}: the form has more than one.")
    fields: dict[str, object] = {name: form.texts.get(name) for name in FORM_FIELDS}
    fields["images"] = form.texts.getlist("images")
    if options := form.texts.get("options"):
        fields["options"] = parse_json(options.encode(), "The form field `options`")
    ignored = _unknown({**form.files, **form.texts}, (*FORM_FIELDS, "images", "options"))
    return ParsedRequest(_validate(fields), tuple(form.files.getlist("images")), ignored)


def _unknown(fields: object, known: Iterable[str]) -> tuple[str, ...]:
    """Return the names of fields that are not known here."""
    if not isinstance(fields, dict):
        return ()
    return tuple(name for name in fields if name not in known)


def _validate(fields: object) -> VisionRequest:
    if isinstance(fields, dict):
        request_id.adopt(fields.get("id"))
        check_text([fields.get(name) for name in _TEXTS])
    try:
        return VisionRequest.model_validate(fields)
    except ValidationError as err:
        raise BadRequest(malformed(err)) from err


def malformed(err: ValidationError, *inside: str) -> str:
    """Return a sentence that names each field at fault, but not what the client sent.

    Args:
        err: the faults.
        inside: names of the fields around what was validated.
    """
    details = "; ".join(
        f"{'.'.join(map(str, (*inside, *error['loc']))) or 'body'}: {error['msg']}"
        for error in err.errors(include_url=False, include_input=False)[:5]
    )
    return f"The request is malformed: {details}."
