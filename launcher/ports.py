"""Addresses and ports of this machine."""

import socket

LOOPBACK = "127.0.0.1"
_CLIENT_HOSTS = {"0.0.0.0": LOOPBACK, "::": "::1"}  # noqa: S104 - not listened on


def try_to_bind(host: str, port: int) -> None:
    """See whether a server could listen on this address now.

    Raises:
        OSError: it could not.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))


def reserve_port() -> socket.socket:
    """Return a socket that keeps a free loopback port for us until it is closed.

    It is bound and never listens. So nobody else is given the port, a server with ``SO_REUSEADDR``,
    as ours all are, may listen there nevertheless, and until one does, connections are refused.
    """
    reservation = socket.socket()
    reservation.bind((LOOPBACK, 0))
    reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return reservation


def free_port() -> int:
    """Return a loopback port that is free, and kept for us while this process runs."""
    reservation = reserve_port()
    port = int(reservation.getsockname()[1])
    reservation.detach()  # it is closed with the process
    return port


def client_host(host: str) -> str:
    """Return the host part of a URL for a server on this machine that listens on ``host``."""
    host = _CLIENT_HOSTS.get(host, host)
    return f"[{host}]" if ":" in host else host
