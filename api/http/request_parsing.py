"""Parses requests: from HTTP to validated fields and encoded images."""

import base64
import binascii
import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from flask import Request
from pydantic import ValidationError

from api.http import request_id
from api.http.body import URL_ENCODED, begins_as_json, decoded, is_image, read_body
from api.http.client_connection import ClientGone
from api.http.fetch import fetch
from api.http.fetch_connection import AllowList
from api.http.json_text import parse_json
from api.schemas import VisionQuery, VisionRequest
from shared.errors import BadRequest, DeadlineExceeded, TooLarge
from shared.images import check_header
from shared.images.several import ReadImages, read_each
from shared.messages import JsonObject, Options
from shared.settings import Settings
from shared.tasks.registry import find_task
from shared.units import MEGA

FORM_FIELDS = ("id", "model", "version", "prompt", "url")
JSON_FIELDS = tuple(field.alias or name for name, field in VisionRequest.model_fields.items())
_URL_SAFE_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_WHITESPACE = b" \t\n\r\v\f"
_ESCAPES = (("%2B", "+"), ("%2b", "+"), ("%2F", "/"), ("%2f", "/"), ("%3D", "="), ("%3d", "="))


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
    if request.method in ("GET", "HEAD"):
        return ParsedRequest(_validate(_query(request)), ())
    request = decoded(request)
    if request.mimetype == "multipart/form-data":
        return _read_form(request)
    body = read_body(request)
    if is_image(request, body):
        return ParsedRequest(_validate(_query(request)), (body,))
    # `curl -d` labels JSON as a form.
    if request.mimetype == URL_ENCODED and body.lstrip()[:1] != b"{":
        return _read_form(request)
    try:
        fields = parse_json(body, "The body")
    except BadRequest:
        if request.mimetype != "application/octet-stream" or begins_as_json(body):
            raise
        return ParsedRequest(_validate(_query(request)), (body,))  # a damaged image, presumably
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
        raise BadRequest(_malformed(err, "options")) from err


def decode_images(sources: object, settings: Settings) -> ReadImages[bytes]:
    """Return the encoded images of a list of base64 strings; ``None`` means no images.

    Raises:
        BadRequest: not a list of strings, or none of them is base64.
        TooLarge: all images have too many pixels.
        UndecodableImage: none of the decoded bytes are an image.
    """
    if sources is None:
        return ReadImages()
    if not isinstance(sources, list) or not all(isinstance(source, str) for source in sources):
        raise BadRequest("`images` is not a list of base64 strings.")

    def read(source: str) -> bytes:
        image = _decode(source)
        check_header(image, settings.max_megapixels)
        return image

    return read_each(read, sources)


def read_images(
    parsed: ParsedRequest,
    settings: Settings,
    deadline: float,
    client_gone: Callable[[], bool],
) -> ReadImages[bytes]:
    """Return the encoded images of a request, in order; those given as URLs are fetched.

    An image that cannot be read does not keep the others from being used.

    Args:
        parsed: the request.
        settings: limits; all images together may be as large as a body.
        deadline: when the request must be answered, in seconds since the epoch.
        client_gone: returns whether the client has closed the connection; called before each fetch.

    Raises:
        ClientGone: the client has closed the connection.
        DeadlineExceeded: the deadline passed before all images were fetched.
        BadRequest, TooLarge, UndecodableImage, ImageFetchFailed: no image can be read; this is
            what is wrong with the first. Or there are too many.
    """
    sources: list[str | bytes] = [*parsed.uploads, *parsed.body.images]
    if parsed.body.url:
        sources.append(parsed.body.url)
    if len(sources) > settings.max_images:
        raise TooLarge(f"There are {len(sources)} images; the limit is {settings.max_images}.")
    left_mb = settings.max_body_mb

    def read(source: str | bytes) -> bytes:
        nonlocal left_mb
        if isinstance(source, bytes):
            image = source
        elif source[:8].lower().startswith(("http://", "https://")):
            if client_gone():
                raise ClientGone
            image = _fetch(source, settings, left_mb, deadline)
        else:
            image = _decode(source)
        left_mb -= len(image) / MEGA
        check_header(image, settings.max_megapixels)
        return image

    return read_each(read, sources)


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
                f"There is no image. {also}Send it as data URL, base64 or http(s) URL in `images`, "
                "as `url`, or as form field `images`."
            )
        if task.needs_text and not prompt:
            raise BadRequest(f"{task.name} needs a `prompt`.")


def _query(request: Request) -> dict[str, object]:
    return {name: request.args.get(name) for name in VisionQuery.model_fields}


def _read_form(request: Request) -> ParsedRequest:
    request_id.body_is_read()
    fields: dict[str, object] = {name: request.form.get(name) for name in FORM_FIELDS}
    fields["images"] = request.form.getlist("images")
    if options := request.form.get("options"):
        fields["options"] = parse_json(options.encode(), "The form field `options`")
    ignored = _unknown({**request.files, **request.form}, (*FORM_FIELDS, "images", "options"))
    uploads = tuple(f.read() for f in request.files.getlist("images"))
    return ParsedRequest(_validate(fields), uploads, ignored)


def _unknown(fields: object, known: Iterable[str]) -> tuple[str, ...]:
    """Return the names of fields that are not known here."""
    if not isinstance(fields, dict):
        return ()
    return tuple(name for name in fields if name not in known)


def _validate(fields: object) -> VisionRequest:
    if isinstance(fields, dict):
        request_id.adopt(fields.get("id"))
    try:
        return VisionRequest.model_validate(fields)
    except ValidationError as err:
        raise BadRequest(_malformed(err)) from err


def _malformed(err: ValidationError, *inside: str) -> str:
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


def _fetch(url: str, settings: Settings, max_mb: float, deadline: float) -> bytes:
    left_s = deadline - time.time()
    if left_s <= 0:
        raise DeadlineExceeded("The time was over before all images were fetched.")
    return fetch(
        url,
        allow=AllowList(settings.url_allow),
        max_mb=max_mb,
        timeout_s=min(settings.fetch_timeout_s, left_s),
        ca_path=settings.extra_ca_certificates[1],
    )


def _decode(source: str) -> bytes:
    """Decode a data URL or bare base64."""
    if source[:5].lower() == "data:":
        meta, comma, payload = source.partition(",")
        if not comma:
            raise BadRequest("A data URL has no comma: data:image/jpeg;base64,… is expected.")
        if not meta.lower().endswith(";base64"):
            raise BadRequest("A data URL is not base64: data:image/jpeg;base64,… is expected.")
        if "%" in payload:
            # Only the characters of base64: unquoting any escape takes a hundred times the memory.
            for escape, character in _ESCAPES:
                payload = payload.replace(escape, character)
        return _decode_base64(payload)
    return _decode_base64(source)


def _decode_base64(text: str) -> bytes:
    """Decode base64 in either alphabet, with or without padding and line breaks."""
    with contextlib.suppress(ValueError):
        return binascii.a2b_base64(text, strict_mode=True)  # the usual form, without a copy of it
    try:
        data = text.encode("ascii").translate(_URL_SAFE_TO_STANDARD, _WHITESPACE).rstrip(b"=")
        return base64.b64decode(data + b"=" * (-len(data) % 4), validate=True)
    except (UnicodeEncodeError, binascii.Error) as err:
        raise BadRequest(
            "An image is neither a data URL, nor an http(s) URL, nor valid base64."
        ) from err
