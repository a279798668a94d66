import socket
import struct
from collections.abc import Iterator

import pytest

from api.http.client_connection import has_disconnected

Pair = tuple[socket.socket, socket.socket]
"""The server's socket and the client's."""


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


def disconnected(server: socket.socket) -> bool:
    return has_disconnected({"gunicorn.socket": server})


def test_a_waiting_client_is_connected(pair: Pair) -> None:
    server, _ = pair

    assert not disconnected(server)


def test_a_client_that_has_already_sent_its_next_request_is_connected(pair: Pair) -> None:
    server, client = pair
    client.sendall(b"POST / HTTP/1.1\r\n")

    assert not disconnected(server)


def test_a_client_that_closed_the_connection_is_disconnected(pair: Pair) -> None:
    server, client = pair
    client.close()

    assert disconnected(server)


def test_a_client_that_closed_its_sending_side_is_disconnected(pair: Pair) -> None:
    server, client = pair
    client.shutdown(socket.SHUT_WR)

    assert disconnected(server)


def test_a_client_that_closed_after_data_not_yet_read_is_disconnected(pair: Pair) -> None:
    server, client = pair
    client.sendall(b"POST / HTTP/1.1\r\n" * 1000)
    client.close()

    assert disconnected(server)


def test_a_client_that_reset_the_connection_is_disconnected() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()

    with server:
        assert disconnected(server)


def test_the_check_takes_nothing_from_the_stream(pair: Pair) -> None:
    server, client = pair
    client.sendall(b"next")

    disconnected(server)

    assert server.recv(16) == b"next"


def test_with_a_socket_closed_by_the_server_no_client_is_disconnected(pair: Pair) -> None:
    server, _ = pair
    server.close()

    assert not disconnected(server)


@pytest.mark.parametrize("environ", [{}, {"gunicorn.socket": None}], ids=["absent", "none"])
def test_without_the_servers_socket_no_client_is_disconnected(environ: dict[str, object]) -> None:
    assert not has_disconnected(environ)
