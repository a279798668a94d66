"""Fetches images by URL without giving clients access to the local network."""

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from functools import partial
from urllib.parse import urljoin, urlsplit

import requests
import structlog

from api.http.client_connection import ClientGone, hold_nothing
from api.http.fetch_connection import AllowList, AllowListAdapter, Connection
from api.http.fetch_errors import (
    NotDecodable,
    cause_of,
    detail_of,
    too_large,
    translate,
)
from shared.errors import BadRequest, Overloaded
from shared.units import MEGA
from shared.version import PRODUCT

log = structlog.get_logger(__name__)

MAX_URL = 8192
"""Characters of a URL: signed ones have up to 2,000, and all of them are parsed several times."""
MAX_REDIRECTS = 10
STALL_S = 10
"""How long a server may send nothing; also the limit for connecting."""
DECODED = frozenset({"", "identity", "gzip", "x-gzip", "deflate"})
"""Content codings that are decoded. They are not asked for, but some servers send them."""
_CHUNK_BYTES = 64 * 1024
_HELD_BYTES = 256 * 1024
"""Memory is held for so many bytes at once: that takes a turn of the server's event loop."""


class _Session(requests.Session):
    """Does not follow redirects: requests would read their bodies, however large they are."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return ``None``, so that the session follows no redirect."""


def fetch(
    url: str,
    *,
    allow: AllowList,
    max_mb: float,
    timeout_s: float,
    ca_path: str = "",
    hold: Callable[[int], object] = hold_nothing,
) -> bytes:
    """Return the body of an http(s) URL.

    Args:
        url: address of an image; up to ``MAX_REDIRECTS`` redirects are followed, each checked.
        allow: private hosts that are permitted.
        max_mb: size limit of the decoded body, in units of 10**6 bytes.
        timeout_s: time limit in seconds for the whole transfer, however slowly the server sends.
        ca_path: file or folder of CA certificates to trust beside the public ones.
        hold: waits until there is memory for so many bytes in all; called while they come.

    Raises:
        BadRequest: not an http(s) URL, or a very long one.
        TooLarge: the body is larger.
        ImageFetchFailed: refused, unreachable, too slow, or not answered with success.
        ClientGone, Overloaded: as ``hold`` raises them, or it has waited for too long.
    """
    if len(url) > MAX_URL:
        raise BadRequest(f"An image's URL has {len(url)} characters; the limit is {MAX_URL}.")
    if not url.lower().startswith(("http://", "https://")):
        raise BadRequest("Image URLs must begin with http:// or https://.")
    # In a thread, because a socket's time-out limits each read and not the whole transfer.
    results: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()
    connection = Connection()
    deadline = time.monotonic() + timeout_s
    read = partial(_read_body, connection, max_mb, deadline, hold)
    download = partial(_download, connection, url, allow, ca_path, read)
    threading.Thread(
        target=_put_result, args=(results, connection, download), name="fetch", daemon=True
    ).start()
    result: bytes | Exception
    try:
        result = results.get(timeout=timeout_s)
    except queue.Empty:
        connection.abort()
        waits = "There is not enough memory to fetch the image. Try again soon."
        result = Overloaded(waits) if connection.is_held_up else TimeoutError()
    if isinstance(result, bytes):
        return result
    if isinstance(result, ClientGone | Overloaded):
        raise result
    _log_failure(url, result)
    raise translate(result, timeout_s, STALL_S) from result


def _log_failure(url: str, err: Exception) -> None:
    with contextlib.suppress(ValueError):  # what is no URL has no host
        host = urlsplit(url).hostname  # not the rest, which may hold a password or a token
        log.warning("image fetch failed", host=host, cause=cause_of(err), detail=detail_of(err))


def _put_result(
    results: "queue.SimpleQueue[bytes | Exception]",
    connection: Connection,
    download: Callable[[], bytes],
) -> None:
    try:
        results.put(download())
    except Exception as err:  # noqa: BLE001 - passed to the waiting thread, which raises it
        results.put(err)
    finally:
        connection.abort()  # urllib3 would keep it until the error is forgotten


def _download(
    connection: Connection,
    url: str,
    allow: AllowList,
    ca_path: str,
    read: Callable[[requests.Response], bytes],
) -> bytes:
    with _Session() as session:
        session.trust_env = False  # no proxies and no .netrc: connect to the address we checked
        session.headers["User-Agent"] = PRODUCT
        session.headers["Accept-Encoding"] = "identity"
        session.mount("http://", AllowListAdapter(allow, connection, https=False))
        session.mount("https://", AllowListAdapter(allow, connection, https=True, ca_path=ca_path))
        for _ in range(MAX_REDIRECTS + 1):
            with session.get(url, stream=True, timeout=STALL_S) as response:
                if not response.is_redirect:
                    return read(response)
                url = urljoin(response.url, _location(response))
    raise requests.TooManyRedirects


def _location(response: requests.Response) -> str:
    """Return where a redirect leads: as requests has it, most servers mean UTF-8."""
    location = response.headers["Location"]  # its bytes as Latin-1
    try:
        return location.encode("latin-1").decode()
    except UnicodeDecodeError:
        return location


def _read_body(
    connection: Connection,
    max_mb: float,
    deadline: float,
    hold: Callable[[int], object],
    response: requests.Response,
) -> bytes:
    limit = int(max_mb * MEGA)
    response.raise_for_status()
    codings = response.headers.get("Content-Encoding", "").lower().split(",")
    if unknown := {coding.strip() for coding in codings} - DECODED:
        raise NotDecodable(", ".join(sorted(unknown)))
    if int(response.headers.get("Content-Length") or 0) > limit:
        raise too_large(max_mb)
    body, held = bytearray(), 0
    # It decodes no more than one chunk at a time: a bomb is noticed at the limit.
    while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
        body += chunk
        if len(body) > limit:
            raise too_large(max_mb)
        if len(body) > held:
            held = len(body) + _HELD_BYTES
            with connection.held_up():
                hold(held)
        if time.monotonic() > deadline:
            raise TimeoutError
    return bytes(body)
