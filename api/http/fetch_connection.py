"""Connections that lead to public addresses only, and rely on public or named CA certificates."""

import contextlib
import ipaddress
import logging
import socket
import threading
from collections.abc import Iterable, Iterator
from typing import Any, cast

import requests
from requests.adapters import HTTPAdapter
from requests_hardened.ip_filter import InvalidIPAddress
from requests_hardened.ip_filter_adapter import IPFilterAdapter
from urllib3.util import create_urllib3_context

from shared.start import load_ca_certificates

_PUBLIC_IPV6 = ipaddress.ip_network("2000::/3")
"""All that IANA has assigned as global unicast. Outside of it, ``is_private`` of Python leaves out
site-local addresses (``fec0::/10``), at which virtual machines of QEMU reach their host's loopback,
and IPv4 addresses in IPv6 that some networks translate."""

# requests_hardened warns of each private address, also of those that the allow list admits.
logging.getLogger("requests_hardened").setLevel(logging.ERROR)


class AllowList:
    """Hosts, addresses and networks from which images are fetched although they are private."""

    def __init__(self, entries: Iterable[str]) -> None:
        """Take the entries of ``VISION_URL_ALLOW``: host names, addresses or CIDRs."""
        self._hosts: set[str] = set()
        self._networks = []
        for entry in entries:
            try:
                self._networks.append(ipaddress.ip_network(entry, strict=False))
            except ValueError:
                self._hosts.add(entry.lower())

    def admits(self, host: str, address: str) -> bool:
        """Return whether connecting to ``address``, to which ``host`` resolved, is allowed."""
        ip = ipaddress.ip_address(address)
        return host.lower() in self._hosts or any(ip in network for network in self._networks)


class Connection:
    """The socket in use, so that the waiting thread can abort a transfer that takes too long."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._aborted = False
        self.is_held_up = False
        """Whether the transfer waits for memory of ours, and not for the server."""

    @contextlib.contextmanager
    def held_up(self) -> Iterator[None]:
        """Wait for memory meanwhile."""
        self.is_held_up = True
        try:
            yield
        finally:
            self.is_held_up = False

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


class AllowListAdapter(IPFilterAdapter):  # type: ignore[misc] # not typed
    """The address filter of requests-hardened, with an allow list.

    The base class resolves the name, refuses private addresses and connects to exactly the address
    that it checked, for each redirect anew. The allow list may admit what the base class refuses.
    """

    def __init__(
        self, allow: AllowList, connection: Connection, *, https: bool, ca_path: str = ""
    ) -> None:
        self._ca_path = ca_path  # the base class makes its pools now
        super().__init__(is_https_proto=https)
        self._allow, self._connection = allow, connection

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Trust further CA certificates, if there are any."""
        if self._ca_path:  # requests adds the public certificates to the context
            kwargs["ssl_context"] = create_urllib3_context()
            load_ca_certificates(kwargs["ssl_context"], self._ca_path)
        super().init_poolmanager(*args, **kwargs)

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Return a pool whose connections can be ended by another thread."""
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
        """Resolve the host and check its address.

        Raises:
            InvalidIPAddress: it is private and not on the allow list.
        """
        try:
            host, pool = cast(
                "tuple[Any, Any]",
                super().build_connection_pool_key_attributes(request, verify, cert),
            )
            _check_public_ipv6(host["host"])
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


def _check_public_ipv6(host: str) -> None:
    """Raise an error if an address of IPv6, in brackets, is not one of the Internet's.

    Raises:
        InvalidIPAddress: it is none.
    """
    if host.startswith("["):
        address = ipaddress.ip_address(host.strip("[]"))
        if address not in _PUBLIC_IPV6:
            raise InvalidIPAddress(address)
