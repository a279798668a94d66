"""The encoded images of a request: uploaded, in base64, or fetched by URL."""

import base64
import binascii
import contextlib
import time
from collections.abc import Callable

from api.http.client_connection import ClientGone
from api.http.fetch import fetch
from api.http.fetch_connection import AllowList
from api.http.request_parsing import ParsedRequest
from shared.errors import BadRequest, DeadlineExceeded, TooLarge
from shared.images import check_header
from shared.images.several import ReadImages, read_each
from shared.settings import Settings
from shared.units import MEGA

_URL_SAFE_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_WHITESPACE = b" \t\n\r\v\f"
_ESCAPES = (("%2B", "+"), ("%2b", "+"), ("%2F", "/"), ("%2f", "/"), ("%3D", "="), ("%3d", "="))


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
    parsed: ParsedRequest, settings: Settings, deadline: float, client_gone: Callable[[], bool]
) -> ReadImages[bytes]:
    """Return the encoded images of a request, in order; those given as URLs are fetched.

    An image that cannot be read does not keep the others from being used.

    Args:
        parsed: the request.
        settings: limits; all images together may be as large as a body.
        deadline: when the request must be answered, in seconds since the epoch.
        client_gone: returns whether the client has closed the connection; called before each fetch.

    Raises:
        ClientGone, DeadlineExceeded: the client or the time is gone before all were fetched.
        VisionError: there are too many images, or none can be read: the first one's fault.
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
