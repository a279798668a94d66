"""Fetches images by URL without giving clients access to the local network."""

import contextlib
import ipaddress
import logging
import queue
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, cast
from urllib.parse import urljoin

import requests
from requests.adapters import HTTPAdapter
from requests_hardened.ip_filter import InvalidIPAddress
from requests_hardened.ip_filter_adapter import IPFilterAdapter

from shared.errors import BadRequest, ImageFetchFailed, TooLarge
from shared.units import MEGA

MAX_REDIRECTS = 3
STALL_S = 10
"""How long a server may send nothing; also the limit for connecting."""
_CHUNK_BYTES = 64 * 1024
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?")

# requests_hardened warns of each private address, also of those that the allow list admits.
logging.getLogger("requests_hardened").setLevel(logging.ERROR)


class AllowList:
    """Hosts, addresses and networks from which images are fetched although they are private."""

    def __init__(self, entries: Iterable[str]) -> None:
        """Parse the entries of ``VISION_URL_ALLOW``: host names, addresses or CIDRs.

        Raises:
            ValueError: an entry is none of them.
        """
        self._hosts: set[str] = set()
        self._networks = []
        for entry in entries:
            try:
                self._networks.append(ipaddress.ip_network(entry, strict=False))
            except ValueError:
                if not _HOST.fullmatch(entry):
                    msg = f"VISION_URL_ALLOW: {entry!r} is no host name, address or CIDR"
                    raise ValueError(msg) from None
                self._hosts.add(entry.lower())

    def admits(self, host: str, address: str) -> bool:
        """Return whether connecting to ``address``, to which ``host`` resolved, is allowed."""
        ip = ipaddress.ip_address(address)
        return host.lower() in self._hosts or any(ip in network for network in self._networks)


class _Connection:
    """The socket in use, so that the waiting thread can abort a transfer that takes too long."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._aborted = False

    def attach(self, connected: socket.socket) -> None:
        """Remember the socket of a new connection.

        Raises:
            TimeoutError: the transfer was aborted before.
        """
        with self._lock:
            self._socket = connected
            if self._aborted:
                raise TimeoutError

    def abort(self) -> None:
        """End the connection, and any later one."""
        with self._lock:
            self._aborted = True
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)


class _AllowListAdapter(IPFilterAdapter):  # type: ignore[misc] # not typed
    """The address filter of requests-hardened, with an allow list.

    The base class resolves the name, refuses private addresses and connects to exactly the address
    that it checked, for each redirect anew. The allow list may admit what the base class refuses.
    """

    def __init__(self, allow: AllowList, connection: _Connection, *, https: bool) -> None:
        super().__init__(is_https_proto=https)
        self._allow, self._connection = allow, connection

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        pool = super().get_connection_with_tls_context(*args, **kwargs)
        connection, base = self._connection, pool.ConnectionCls

        class AttachedConnection(base):  # type: ignore[misc, valid-type] # one of urllib3's two
            def connect(self) -> None:
                super().connect()
                connection.attach(self.sock)

        pool.ConnectionCls = AttachedConnection
        return pool

    def build_connection_pool_key_attributes(
        self,
        request: requests.PreparedRequest,
        verify: Any,  # noqa: ANN401 - as in the base class
        cert: Any = None,  # noqa: ANN401
    ) -> tuple[Any, Any]:
        try:
            return cast(
                "tuple[Any, Any]",
                super().build_connection_pool_key_attributes(request, verify, cert),
            )
        except InvalidIPAddress as err:
            address = str(err.args[0])
            host, pool = HTTPAdapter.build_connection_pool_key_attributes(
                self, request, verify, cert
            )
            name = host["host"]
            if not self._allow.admits(name, address):
                raise
            if self._is_https_proto:
                pool["assert_hostname"] = pool["server_hostname"] = name  # type: ignore[typeddict-unknown-key]
            host["host"] = f"[{address}]" if ":" in address else address
            return host, pool


class _Session(requests.Session):
    """Does not follow redirects: requests would read their bodies, however large they are."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return ``None``, so that the session follows no redirect."""


def fetch(url: str, *, allow: AllowList, max_mb: float, timeout_s: float) -> bytes:
    """Return the body of an http(s) URL.

    Args:
        url: address of an image; up to ``MAX_REDIRECTS`` redirects are followed, each checked.
        allow: private hosts that are permitted.
        max_mb: size limit of the body, in units of 10**6 bytes.
        timeout_s: time limit in seconds for the whole transfer, however slowly the server sends.

    Raises:
        BadRequest: not an http(s) URL.
        TooLarge: the body is larger.
        ImageFetchFailed: refused, unreachable, too slow, or not answered with success.
    """
    if not url.lower().startswith(("http://", "https://")):
        raise BadRequest("Image URLs must begin with http:// or https://.")
    # In a thread, because a socket's time-out limits each read and not the whole transfer.
    results: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()
    connection = _Connection()
    deadline = time.monotonic() + timeout_s
    download = partial(_download, connection, url, allow, max_mb, deadline)
    threading.Thread(
        target=_put_result, args=(results, download), name="fetch", daemon=True
    ).start()
    try:
        result = results.get(timeout=timeout_s)
    except queue.Empty:
        connection.abort()
        raise _timed_out(timeout_s) from None
    if isinstance(result, bytes):
        return result
    raise _translate(result, timeout_s) from result


def _put_result(
    results: "queue.SimpleQueue[bytes | Exception]", download: Callable[[], bytes]
) -> None:
    try:
        results.put(download())
    except Exception as err:  # noqa: BLE001 - passed to the waiting thread, which raises it
        results.put(err)


def _download(
    connection: _Connection, url: str, allow: AllowList, max_mb: float, deadline: float
) -> bytes:
    with _Session() as session:
        session.trust_env = False  # no proxies and no .netrc: connect to the address we checked
        session.headers["Accept-Encoding"] = "identity"
        session.mount("http://", _AllowListAdapter(allow, connection, https=False))
        session.mount("https://", _AllowListAdapter(allow, connection, https=True))
        for _ in range(MAX_REDIRECTS + 1):
            with session.get(url, stream=True, timeout=STALL_S) as response:
                if not response.is_redirect:
                    return _read_body(response, max_mb, deadline)
                url = urljoin(response.url, response.headers["Location"])
    raise requests.TooManyRedirects


def _read_body(response: requests.Response, max_mb: float, deadline: float) -> bytes:
    limit = int(max_mb * MEGA)
    response.raise_for_status()
    if int(response.headers.get("Content-Length") or 0) > limit:
        raise _too_large(max_mb)
    body = bytearray()
    while chunk := response.raw.read1(_CHUNK_BYTES):
        body += chunk
        if len(body) > limit:
            raise _too_large(max_mb)
        if time.monotonic() > deadline:
            raise TimeoutError
    return bytes(body)


def _translate(err: Exception, timeout_s: float) -> Exception:
    """Return our error for one of requests; the message reveals nothing of the local network."""
    match err:
        case TooLarge():
            return err
        case TimeoutError() | requests.Timeout():
            return _timed_out(timeout_s)
        case requests.exceptions.InvalidURL() | UnicodeError():
            return BadRequest("The image's URL is not valid.")
        case _:
            return ImageFetchFailed(f"The image's URL {_reason(err)}.")


def _reason(err: Exception) -> str:
    match err:
        case InvalidIPAddress():
            return (
                "leads to a private address. If that is intended, add its host to VISION_URL_ALLOW"
            )
        case requests.HTTPError():
            return f"was answered with status {err.response.status_code}"
        case requests.TooManyRedirects():
            return "redirects too often"
        case _:
            return "cannot be reached"


def _timed_out(timeout_s: float) -> ImageFetchFailed:
    return ImageFetchFailed(f"The image's URL did not deliver within {timeout_s:g} seconds.")


def _too_large(max_mb: float) -> TooLarge:
    return TooLarge(f"The image behind the URL is larger than {max_mb:g} MB.")
