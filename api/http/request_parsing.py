"""Parses requests: from HTTP to validated fields and encoded images."""

import base64
import binascii
import contextlib
import json
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from flask import Request
from pydantic import ValidationError

from api.http import request_id
from api.http.client_connection import ClientGone
from api.http.fetch import AllowList, fetch
from api.schemas import VisionQuery, VisionRequest
from shared.errors import BadRequest, DeadlineExceeded, TooLarge
from shared.images import check_header
from shared.images.several import ReadImages, read_each
from shared.messages import JsonObject
from shared.settings import Settings
from shared.tasks.registry import find_task
from shared.units import MEGA

URL_ENCODED = "application/x-www-form-urlencoded"
FORM_FIELDS = ("id", "model", "version", "prompt", "url")
_URL_SAFE_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_WHITESPACE = b" \t\n\r\v\f"
_ESCAPES = (("%2B", "+"), ("%2b", "+"), ("%2F", "/"), ("%2f", "/"), ("%3D", "="), ("%3d", "="))


class ParsedRequest(NamedTuple):
    """A vision request: its validated fields, and the files uploaded with it."""

    body: VisionRequest
    uploads: tuple[bytes, ...]


def read_request(request: Request) -> ParsedRequest:
    """Read fields from the query string, a JSON body or a form; an image may be the whole body.

    Raises:
        BadRequest: not JSON, or a field of the wrong type; the message names the field.
    """
    if request.method in ("GET", "HEAD"):
        return ParsedRequest(_validate(_query(request)), ())
    if request.mimetype.startswith("image/"):
        return ParsedRequest(_validate(_query(request)), (_body(request),))
    if request.mimetype == "multipart/form-data":
        return _read_form(request)
    body = _body(request)
    # `curl -d` labels JSON as a form.
    if request.mimetype == URL_ENCODED and body.lstrip()[:1] != b"{":
        return _read_form(request)
    return ParsedRequest(_validate(_parse_json(body, "The body")), ())


def read_object(request: Request) -> JsonObject:
    """Read the body as a JSON object, whatever its content type.

    Raises:
        BadRequest: the body is something else.
    """
    value = _parse_json(_body(request), "The body")
    if not isinstance(value, dict):
        raise BadRequest("The body is not a JSON object.")
    return value


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


def check_input(tasks: Iterable[str], prompt: str, images: Sequence[bytes]) -> None:
    """Raise an error if the request lacks an image or a prompt that one of its tasks needs.

    Raises:
        BadRequest: the message says what is missing and how to send it.
    """
    for task in map(find_task, tasks):
        if task.needs_image and not images:
            raise BadRequest(
                "There is no image. Send it as data URL, base64 or http(s) URL in `images`, as "
                "`url`, or as form field `images`."
            )
        if task.needs_text and not prompt:
            raise BadRequest(f"{task.name} needs a `prompt`.")


def _body(request: Request) -> bytes:
    """Return the body, if it is not too large.

    A body sent in chunks has no declared length by which Flask could have refused it before.
    """
    # Not kept, since the request lives as long as the client waits; but a form is read once more.
    body = request.get_data(cache=request.mimetype == URL_ENCODED)
    limit = request.max_content_length
    if request.content_length is None and limit is not None and len(body) >= limit:
        raise TooLarge("The request body is too large.")
    return body


def _query(request: Request) -> dict[str, object]:
    return {name: request.args.get(name) for name in VisionQuery.model_fields}


def _read_form(request: Request) -> ParsedRequest:
    fields: dict[str, object] = {name: request.form.get(name) for name in FORM_FIELDS}
    fields["images"] = request.form.getlist("images")
    if options := request.form.get("options"):
        fields["options"] = _parse_json(options.encode(), "The form field `options`")
    return ParsedRequest(
        _validate(fields), tuple(f.read() for f in request.files.getlist("images"))
    )


def _parse_json(data: bytes, name: str) -> object:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as err:
        raise BadRequest(f"{name} is not valid JSON.") from err


def _validate(fields: object) -> VisionRequest:
    if isinstance(fields, dict):
        request_id.adopt(fields.get("id"))
    try:
        return VisionRequest.model_validate(fields)
    except ValidationError as err:
        details = "; ".join(
            f"{'.'.join(map(str, error['loc'])) or 'body'}: {error['msg']}"
            for error in err.errors(include_url=False, include_input=False)[:5]
        )
        raise BadRequest(f"The request is malformed: {details}.") from err


def _fetch(url: str, settings: Settings, max_mb: float, deadline: float) -> bytes:
    left_s = deadline - time.time()
    if left_s <= 0:
        raise DeadlineExceeded("The time was over before all images were fetched.")
    return fetch(
        url,
        allow=AllowList(settings.url_allow),
        max_mb=max_mb,
        timeout_s=min(settings.fetch_timeout_s, left_s),
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
