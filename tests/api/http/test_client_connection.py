import socket
import struct
from collections.abc import Iterator

import pytest

from api.http.client_connection import has_disconnected

Pair = tuple[socket.socket, socket.socket]
"""The server's end and the client's."""


@pytest.fixture(params=["tcp", "unix"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    if request.param == "unix":
        server, client = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = socket.create_connection(listener.getsockname())
            server, _ = listener.accept()
    with server, client:
        yield server, client


def gone(server: socket.socket) -> bool:
    return has_disconnected({"gunicorn.socket": server})


def test_a_client_that_waits_is_there(pair: Pair) -> None:
    server, _ = pair

    assert not gone(server)


def test_a_client_that_has_sent_its_next_request_already_is_there(pair: Pair) -> None:
    server, client = pair
    client.sendall(b"POST / HTTP/1.1\r\n")

    assert not gone(server)


def test_a_client_that_closed_is_gone(pair: Pair) -> None:
    server, client = pair
    client.close()

    assert gone(server)


def test_a_client_that_closed_its_sending_side_is_gone(pair: Pair) -> None:
    server, client = pair
    client.shutdown(socket.SHUT_WR)

    assert gone(server)


def test_a_client_that_closed_behind_unread_data_is_gone(pair: Pair) -> None:
    server, client = pair
    client.sendall(b"POST / HTTP/1.1\r\n" * 1000)
    client.close()

    assert gone(server)


def test_a_client_that_reset_the_connection_is_gone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()

    with server:
        assert gone(server)


def test_asking_takes_nothing_from_the_stream(pair: Pair) -> None:
    server, client = pair
    client.sendall(b"next")

    gone(server)

    assert server.recv(16) == b"next"


def test_our_own_closed_socket_tells_nothing(pair: Pair) -> None:
    server, _ = pair
    server.close()

    assert not gone(server)


@pytest.mark.parametrize("environ", [{}, {"gunicorn.socket": None}], ids=["absent", "none"])
def test_without_the_servers_socket_nobody_is_ever_gone(environ: dict[str, object]) -> None:
    assert not has_disconnected(environ)
