"""Clients that hold connections and send or read next to nothing."""

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from benchmarks.measuring import percentile
from benchmarks.prove.background import Probes, probes
from benchmarks.prove.clients import connect
from benchmarks.prove.report import Case
from benchmarks.prove.service import Service
from launcher.ports import LOOPBACK
from tests.stack import API

CONNECTIONS, SILENT = 100, 300
SHORT_S, LONG_S = 4.0, 20.0
"""How long they are held."""
ADDRESS = "127.0.0.2"
"""Theirs: a client shares the API with others at its own address."""
TRICKLE_S = 1.0
"""Between two bytes of a trickling body."""
SLOWEST_LIVEZ_S = 2.0
"""What is complained of: far beyond the 50 ms that are promised, for machines that others use."""
LARGE_FILE, LARGE_BYTES = "/docs/static/swagger-ui-bundle.js", 1_000_000
"""A file that is far larger than what the kernel takes ahead of a reader, and its size at least."""
PIPELINED = 20
"""Requests that a client sends at once without reading replies."""
HEAD = f"POST {API}/caption/fake HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\n"
BODY = f"{HEAD}Content-Length: 100000\r\n\r\n".encode()


class Kind(NamedTuple):
    """What such a client sends at first, and each second; and whether it never reads."""

    first: bytes
    then: bytes = b""
    connections: int = CONNECTIONS
    never_reads: bool = False


def _pipeline(path: str) -> Kind:
    return Kind(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode() * PIPELINED, never_reads=True)


KINDS = {
    "half headers": Kind(f"{HEAD}X-".encode()),
    "half bodies": Kind(BODY + b"\x89PNG"),
    "trickling bodies": Kind(BODY, b"a"),
    "silent connections": Kind(b"", connections=SILENT),
    "readers that do not read": _pipeline(LARGE_FILE),
    "pipelines of refused requests": _pipeline("/docs/static/nothing"),
}


def attack(service: Service) -> list[Case]:
    """Hold connections of each kind, and probe the service with them and without."""
    with contextlib.closing(connect(service.base, SHORT_S)) as connection:
        connection.request("GET", LARGE_FILE)
        if len(connection.getresponse().read()) < LARGE_BYTES:
            message = f"{LARGE_FILE} is not there, or not large: there is nothing not to read."
            raise AssertionError(message)
    seconds = LONG_S if service.long else SHORT_S
    with probes(service.base) as alone:
        time.sleep(seconds)
    return [_case(service, name, kind, alone, seconds) for name, kind in KINDS.items()]


def _case(service: Service, name: str, kind: Kind, alone: Probes, seconds: float) -> Case:
    with _held(service.launched.port, kind), probes(service.base) as found:
        time.sleep(seconds)
    service.wait_until_it_answers()
    what = f"{kind.connections} {name}"
    before, during = _p99_ms(alone.innocent.seconds), _p99_ms(found.innocent.seconds)
    livez_ms, longest_ms = _p99_ms(found.livez), 1000 * max(found.livez, default=0)
    notes = (
        f"`/livez` p99 {livez_ms:.0f} ms, longest {longest_ms:.0f} ms; an innocent's p99 "
        f"{during:.0f} ms, {before:.0f} ms without them"
    )
    complaints = found.innocent.complaints(what)
    if found.failed or longest_ms > 1000 * SLOWEST_LIVEZ_S:
        complaints.append(f"{what}: /livez took {longest_ms:.0f} ms, {found.failed} failed")
    return Case(what, found.innocent, notes, complaints)


def _p99_ms(seconds: list[float]) -> float:
    return 1000 * (percentile(seconds, 99) if len(seconds) > 1 else max(seconds, default=0))


@contextlib.contextmanager
def _held(port: int, kind: Kind) -> Iterator[None]:
    """Hold connections, and open others for those that the server closes."""
    over = threading.Event()
    thread = threading.Thread(target=_hold, args=(port, kind, over.wait))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _hold(port: int, kind: Kind, wait: Callable[[float], bool]) -> None:
    with contextlib.ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        clients: list[socket.socket] = []
        while True:
            clients = [client for client in clients if _goes_on(client, kind)]
            while len(clients) < kind.connections and (client := _open(port, kind)):
                clients.append(stack.enter_context(client))
            if wait(TRICKLE_S):
                selector.close()
                return


def _open(port: int, kind: Kind) -> socket.socket | None:
    """Open a connection; ``None``: the server takes no more for now."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(0.2)
    client.bind((ADDRESS, 0))
    try:
        client.connect((LOOPBACK, port))
        client.sendall(kind.first)
    except OSError:
        client.close()
        return None
    client.settimeout(0)
    return client


def _goes_on(client: socket.socket, kind: Kind) -> bool:
    """Send what a client sends each second; close it if the server has."""
    try:
        if kind.then:
            client.send(kind.then)
        if kind.never_reads or client.recv(65536):
            return True
    except BlockingIOError:
        return True
    except OSError:
        pass
    client.close()
    return False
