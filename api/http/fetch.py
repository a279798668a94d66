"""Fetch images by URL without becoming somebody's way into the local network."""

import contextlib
import ipaddress
import logging
import queue
import re
import socket
import threading
import time
from collections.abc import Iterable
from typing import Any, cast
from urllib.parse import urljoin

import requests
from requests.adapters import HTTPAdapter
from requests_hardened.ip_filter import InvalidIPAddress
from requests_hardened.ip_filter_adapter import IPFilterAdapter

from shared.errors import BadRequest, ImageFetchFailed, TooLarge
from shared.units import MEGA

logging.getLogger("requests_hardened").setLevel(logging.ERROR)  # it warns of what we admit
MAX_REDIRECTS = 3
CHUNK = 64 * 1024
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?")
STALL_S = 10
"""Longest silence of a server, connecting included."""


class AllowList:
    """Hosts, addresses and networks that may be fetched from although they are private."""

    def __init__(self, entries: Iterable[str]) -> None:
        """Read the entries of ``VISION_URL_ALLOW``: host names, addresses or CIDRs.

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
        """Say whether ``address``, which ``host`` resolved to, may be connected to."""
        ip = ipaddress.ip_address(address)
        return host.lower() in self._hosts or any(ip in network for network in self._networks)


class _AllowingAdapter(IPFilterAdapter):  # type: ignore[misc] # not typed
    """The address filter of requests-hardened, with an allow list.

    The base class resolves the name, refuses private addresses and connects to the very address
    it checked, for each redirect anew. What it refuses, the allow list may admit.
    """

    def __init__(self, allow: AllowList, line: "_Line", *, https: bool) -> None:
        super().__init__(is_https_proto=https)
        self._allow, self._line = allow, line

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        pool = super().get_connection_with_tls_context(*args, **kwargs)
        line, base = self._line, pool.ConnectionCls

        class Connection(base):  # type: ignore[misc, valid-type] # one of urllib3's two
            def connect(self) -> None:
                super().connect()
                line.hold(self.sock)

        pool.ConnectionCls = Connection
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


class _Line:
    """The socket in use, so that the waiting thread can end a transfer that takes too long."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._over = False

    def hold(self, connected: socket.socket) -> None:
        """Note the socket of a new connection."""
        with self._lock:
            self._socket = connected
            if self._over:
                raise TimeoutError

    def cut(self) -> None:
        """End whatever is read from the socket, now and later."""
        with self._lock:
            self._over = True
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)


class _Session(requests.Session):
    """Follows no redirects by itself: it would read their bodies, whatever their size."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Say that there is none."""


def fetch(url: str, *, allow: AllowList, max_mb: float, timeout_s: float) -> bytes:
    """Return the body of an http(s) URL.

    Args:
        url: address of an image; redirects are followed a few times, each checked again.
        allow: private hosts that are permitted.
        max_mb: largest body, in units of 10**6 bytes.
        timeout_s: seconds for all of it, however slowly the server drips.

    Raises:
        BadRequest: no http(s) URL.
        TooLarge: the body is larger.
        ImageFetchFailed: refused, unreachable, too slow, or not answered with success.
    """
    if not url.lower().startswith(("http://", "https://")):
        raise BadRequest("Image URLs must begin with http:// or https://.")
    # A thread, because a socket's time-out bounds each read and not their sum.
    box: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()
    line = _Line()
    deadline = time.monotonic() + timeout_s
    threading.Thread(
        target=_fetch_into,
        args=(box, line, url, allow, max_mb, deadline),
        name="fetch",
        daemon=True,
    ).start()
    try:
        outcome = box.get(timeout=timeout_s)
    except queue.Empty:
        line.cut()
        raise _slow(timeout_s) from None
    if isinstance(outcome, bytes):
        return outcome
    raise _translate(outcome, timeout_s) from outcome


def _fetch_into(
    box: "queue.SimpleQueue[bytes | Exception]",
    line: _Line,
    url: str,
    allow: AllowList,
    max_mb: float,
    deadline: float,
) -> None:
    try:
        box.put(_download(line, url, allow, max_mb, deadline))
    except Exception as err:  # noqa: BLE001 - carried to the waiting thread, which raises it
        box.put(err)


def _download(line: _Line, url: str, allow: AllowList, max_mb: float, deadline: float) -> bytes:
    with _Session() as session:
        session.trust_env = False  # no proxies, no .netrc: connect to the address we checked
        session.headers["Accept-Encoding"] = "identity"
        session.mount("http://", _AllowingAdapter(allow, line, https=False))
        session.mount("https://", _AllowingAdapter(allow, line, https=True))
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
    while chunk := response.raw.read1(CHUNK):
        body += chunk
        if len(body) > limit:
            raise _too_large(max_mb)
        if time.monotonic() > deadline:
            raise TimeoutError
    return bytes(body)


def _translate(err: Exception, timeout_s: float) -> Exception:
    """Turn what requests raises into our tree; the reasons tell nothing of the local network."""
    match err:
        case TooLarge():
            return err
        case TimeoutError() | requests.Timeout():
            return _slow(timeout_s)
        case requests.exceptions.InvalidURL() | UnicodeError():
            return BadRequest("The image's URL is not valid.")
        case _:
            return ImageFetchFailed(f"The image's URL {_fault(err)}.")


def _fault(err: Exception) -> str:
    match err:
        case InvalidIPAddress():
            return "leads to a private address. If it is meant to, add its host to VISION_URL_ALLOW"
        case requests.HTTPError():
            return f"was answered with status {err.response.status_code}"
        case requests.TooManyRedirects():
            return "redirects too often"
        case _:
            return "cannot be reached"


def _slow(timeout_s: float) -> ImageFetchFailed:
    return ImageFetchFailed(f"The image's URL did not deliver within {timeout_s:g} seconds.")


def _too_large(max_mb: float) -> TooLarge:
    return TooLarge(f"The image behind the URL is larger than {max_mb:g} MB.")
