"""The bytes of a request's body: complete, decoded, and within the limit."""

import io
import math
import re
import zlib
from collections.abc import Iterator

from flask import Request, current_app

from api.http import request_id
from shared.errors import BadRequest, TooLarge, UndecodableImage, UnsupportedEncoding
from shared.images import check_header

_BLOCK = 1 << 16
MAX_MEMBERS = 10_000
"""Members of gzip that a body may have; tools that compress in blocks make one of each 64 kB."""
_TOO_LARGE = "The request body is too large."
_DECODED = frozenset({"gzip", "x-gzip", "deflate"})
_NOT_DECODED = frozenset({"br", "zstd", "compress", "x-compress"})
"""Other words, such as ``utf-8``, are no content codings, and mean that nothing is encoded."""
_ANY_HEADER, _NO_HEADER = 32 + zlib.MAX_WBITS, -zlib.MAX_WBITS
"""How zlib is told to expect gzip's or its own header, or none, as some clients send "deflate"."""

_JSON = re.compile(rb"(?:\xef\xbb\xbf|\xfe\xff|\xff\xfe)?[\s\0]{0,1000}[{\[]")
"""How JSON in UTF-8, UTF-16 or UTF-32 begins, if it is an object or an array."""


def read_body(request: Request) -> bytes:
    """Return the body.

    Raises:
        BadRequest, werkzeug.exceptions.RequestEntityTooLarge: as :func:`blocks`.
    """
    buffer = io.BytesIO()
    for block in blocks(request):
        buffer.write(block)
    return buffer.getvalue()  # without a copy


def blocks(request: Request) -> Iterator[bytes]:
    """Yield the body in blocks, which our server does not keep.

    Raises:
        BadRequest: it ends before it is complete.
        werkzeug.exceptions.RequestEntityTooLarge: it is larger than ``VISION_MAX_BODY_MB``.
    """
    request_id.body_is_read()
    length = request.content_length
    left = math.inf if length is None else length
    while left > 0 and (block := request.stream.read(int(min(_BLOCK, left)))):
        left -= len(block)
        yield block
    if 0 < left < math.inf:
        raise BadRequest("The request's body ends before it is complete.")


def decoded(request: Request) -> Request:
    """Return the request as it would be without ``Content-Encoding``.

    Raises:
        BadRequest: the body is not encoded as it says.
        TooLarge: it is too large, encoded or decoded.
        UnsupportedEncoding: it is encoded in another way than gzip or deflate.
    """
    words = request.headers.get("Content-Encoding", "").lower().split(",")
    codings = [word.strip() for word in words if word.strip() in _DECODED | _NOT_DECODED]
    if not codings:
        return request
    if len(codings) > 1 or codings[0] in _NOT_DECODED:
        raise UnsupportedEncoding(
            f"The body is encoded with {', '.join(codings)}; what is understood here is gzip or "
            "deflate, once, or no encoding."
        )
    body = _decompress(read_body(request), request.max_content_length)
    environ = {
        **request.environ,
        "wsgi.input": io.BytesIO(body),
        "CONTENT_LENGTH": str(len(body)),
    }
    for name in ("HTTP_CONTENT_ENCODING", "HTTP_TRANSFER_ENCODING", "werkzeug.request"):
        environ.pop(name, None)
    return current_app.request_class(environ)


def is_image(request: Request, body: bytes) -> bool:
    """Return whether the whole body is an image, whatever its content type says.

    `curl --data-binary` labels an image as a form; many clients label it as a stream of bytes.
    """
    if request.mimetype.startswith("image/"):
        return True
    if begins_as_json(body):
        return False
    if request.mimetype == "application/octet-stream":
        return True  # a damaged one, if any
    try:
        check_header(body, math.inf)
    except TooLarge:
        return True
    except UndecodableImage:
        return False
    return True


def begins_as_json(body: bytes) -> bool:
    """Return whether a body is presumably meant as JSON, if it is not a form."""
    return not body or bool(_JSON.match(body))


def _decompress(data: bytes, limit: int | None) -> bytes:
    """Decompress gzip or deflate; no more than ``limit`` bytes are made, whatever the data."""
    try:
        return _inflate(data, limit, _ANY_HEADER)
    except zlib.error as err:
        try:
            return _inflate(data, limit, _NO_HEADER)
        except zlib.error:
            raise BadRequest("The body is not encoded as its Content-Encoding says.") from err


def _inflate(data: bytes, limit: int | None, header: int) -> bytes:
    """Decompress a body in pieces: at the end of a member, zlib copies what is left of a piece."""
    body, start, members = bytearray(), 0, 0
    while start < len(data):  # gzip may have several members
        members += 1
        if members > MAX_MEMBERS:
            raise TooLarge(f"The body has more than {MAX_MEMBERS:,} members of gzip, the limit.")
        inflater = zlib.decompressobj(header)
        while not inflater.eof:
            piece = data[start : start + _BLOCK]
            if not piece:
                raise zlib.error("incomplete")
            start += len(piece)
            # To zlib, 0 is no limit. One byte more than allowed shows that there is more.
            body += inflater.decompress(piece, 0 if limit is None else limit - len(body) + 1)
            if limit is not None and len(body) > limit:
                raise TooLarge(_TOO_LARGE)
        start -= len(inflater.unused_data)
    return bytes(body)
