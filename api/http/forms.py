"""Forms, read in memory of about their size: the text of a field may be an image in base64."""

import io
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from flask import Request
from werkzeug.datastructures import MultiDict
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData

from api.http.body import blocks
from api.http.json_bounds import MAX_ESCAPES, MAX_TEXT
from shared.errors import BadRequest, TooLarge

MULTIPART = "multipart/form-data"
URL_ENCODED = "application/x-www-form-urlencoded"
MAX_FIELDS = 1000
"""Fields and files of a form; Flask's default, too."""
_MAX_HEADERS = 1 << 18
"""Bytes of a part's headers, with the block in which they end. They have some hundred bytes."""
PIECE = 1 << 18
"""Bytes that are unquoted at once, in a millisecond; other threads run in between."""


class Form(NamedTuple):
    """The fields of a form, of which several may have the same name."""

    texts: "MultiDict[str, str]"
    files: "MultiDict[str, bytes]"


def read_multipart(request: Request) -> Form:
    """Read the body of a request as ``multipart/form-data``, block by block.

    Raises:
        BadRequest: it is malformed.
        TooLarge: it has too much text.
        werkzeug.exceptions.RequestEntityTooLarge: it has too many fields, or is too large.
    """
    form = Form(MultiDict(), MultiDict())
    try:
        for part, content in _parts(request):
            if isinstance(part, File):
                form.files.add(part.name or "", content)
            else:
                form.texts.add(part.name or "", _as_text(content))
    except ValueError as err:
        raise BadRequest(f"The body is not valid {MULTIPART}: {err}.") from err
    return form


def read_url_encoded(body: bytes) -> Form:
    """Read a body as ``application/x-www-form-urlencoded``.

    Raises:
        TooLarge: it has too many fields, or too much text.
    """
    if body.count(b"&") >= MAX_FIELDS:
        raise TooLarge(f"The form has more than {MAX_FIELDS} fields, which is the limit.")
    if body.count(b"%") > MAX_ESCAPES:
        raise TooLarge(f"The form has more than {MAX_ESCAPES:,} escapes, which is the limit.")
    form, start = Form(MultiDict(), MultiDict()), 0
    while start < len(body):
        end = body.find(b"&", start)
        end = len(body) if end < 0 else end
        equals = body.find(b"=", start, end)
        equals = end if equals < 0 else equals
        name, value = _unquoted(body, start, equals), _unquoted(body, equals + 1, end)
        form.texts.add(_as_text(name), _as_text(value))
        start = end + 1
    return form


def _parts(request: Request) -> Iterator[tuple[Field | File, bytes]]:
    boundary = request.mimetype_params.get("boundary", "")
    if not boundary:
        msg = "its Content-Type names no boundary"
        raise ValueError(msg)
    received = blocks(request)
    decoder = MultipartDecoder(boundary.encode(), _MAX_HEADERS, max_parts=MAX_FIELDS)
    part: Field | File | None = None
    content = io.BytesIO()
    while not isinstance(event := decoder.next_event(), Epilogue):
        match event:
            case NeedData():
                decoder.receive_data(next(received, None))
            case Field() | File():
                part, content = event, io.BytesIO()
            case Data(data=data, more_data=more_data):
                content.write(data)
                if part is not None and not more_data:
                    yield part, content.getvalue()


def _unquoted(body: bytes, start: int, end: int) -> bytes:
    text = io.BytesIO()
    while start < end:
        stop = min(start + PIECE, end)
        cut = body.rfind(b"%", stop - 2, stop) if stop < end else -1
        stop = stop if cut < 0 else cut  # no escape is cut in two
        text.write(unquote_to_bytes(body[start:stop].replace(b"+", b" ")))
        start = stop
    return text.getvalue()


def _as_text(value: bytes) -> str:
    if not value.isascii() and len(value) > MAX_TEXT:  # it takes up to four bytes for a character
        raise TooLarge(f"A field of the form has more than {MAX_TEXT:,} bytes of text.")
    return value.decode(errors="replace")
