"""What the server tells the application of a request, in its WSGI environment."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

CLIENT = "vision.client"
"""The key of the :class:`Client`."""
ARRIVED = "vision.arrived"
"""The key of the time at which the request's first byte came, in seconds since the epoch."""
REFUSAL = "vision.refusal"
"""The key of the error with which the server wants the request to be refused."""
IS_UNREAD = "vision.is_unread"
"""The key that says that there is a body which the server has not read."""


class ClientGone(Exception):
    """The client closed its connection before the reply."""


class Client(Protocol):
    """Who sent a request."""

    @property
    def is_gone(self) -> bool:
        """Whether the client has closed its side of the connection; may be asked in any thread."""

    when_gone: Callable[[], object]
    """Is called when it does so, in some thread; to be set by whoever waits for something else."""
    hold: Callable[[int], object]
    """Waits until there is memory for so many bytes beside the body; not for the server's thread.

    Raises ``ClientGone`` or ``Overloaded``. The memory is given back with the reply.
    """


def nobody_waits() -> None:
    """Do nothing: the value of :attr:`Client.when_gone` while nobody waits."""


def hold_nothing(_: int) -> None:
    """Count nothing: the value of :attr:`Client.hold` where memory is not counted."""


class _Unknown:
    """The client of another server than our own, which tells nothing of it."""

    is_gone = False

    def __init__(self) -> None:
        self.when_gone: Callable[[], object] = nobody_waits
        self.hold: Callable[[int], object] = hold_nothing


def client_of(environ: Mapping[str, Any]) -> Client:
    """Return the client of a request."""
    client: Client | None = environ.get(CLIENT)
    return client or _Unknown()
