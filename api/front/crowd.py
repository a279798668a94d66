"""Which connection has to go when there are too many."""

import ipaddress
from collections import Counter
from collections.abc import Collection
from functools import lru_cache
from typing import Protocol, TypeVar


class Held(Protocol):
    """What counts of a connection."""

    @property
    def peer(self) -> str:
        """The client's address."""

    @property
    def is_busy(self) -> bool:
        """Whether a request is under way."""

    @property
    def is_receiving(self) -> bool:
        """Whether a request is under way of whose body more is to come."""

    @property
    def is_idle(self) -> bool:
        """Whether no part of a request has come."""

    @property
    def since(self) -> float:
        """When it last began to wait for the client."""


AnyHeld = TypeVar("AnyHeld", bound=Held)


@lru_cache(maxsize=4096)
def client_of(address: str) -> str:
    """Return whom an address stands for; those of an IPv6 network of 64 bits are one client."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:  # a proxy may send anything, and a socket of Unix has no address
        return address
    if parsed.version == 4:
        return address
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))


def surplus_of(connections: Collection[AnyHeld]) -> AnyHeld | None:
    """Return the connection that is missed least; ``None``: a whole request is under way on each.

    It belongs to the client that has most of them. One without a request is preferred, an idle one
    above all, then the oldest.
    """
    free = [one for one in connections if one.is_receiving or not one.is_busy]
    count = Counter(client_of(connection.peer) for connection in free)
    return max(
        free,
        key=lambda one: (count[client_of(one.peer)], not one.is_busy, one.is_idle, -one.since),
        default=None,
    )
