"""Messages to a process get there whole and in order, and wait for nobody."""

import multiprocessing
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection

import pytest

from workers.engine.outbox import Outbox
from workers.model.protocol import Forget
from workers.preparing.frames import MOST_PIECES, receive, send

LARGE = 3 * 2**20
"""Bytes that no pipe takes without somebody who reads."""


@pytest.fixture
def pipe() -> Iterator[tuple[Connection, Connection]]:
    ours, theirs = multiprocessing.Pipe()
    with ours, theirs:
        yield ours, theirs


def job(number: int) -> Forget:
    return Forget(job=str(number))


def received(pipe: Connection) -> tuple[str, list[bytes]]:
    text, contents = receive(pipe)
    return Forget.model_validate_json(text).job, contents


def test_nobody_waits_for_a_process_that_does_not_read(
    pipe: tuple[Connection, Connection],
) -> None:
    outbox = Outbox(pipe[0])
    contents = [[bytes([number]) * LARGE, b"end"] for number in range(3)]
    for number, content in enumerate(contents):
        outbox.put(job(number), content)
    outbox.put(job(3))
    expected = [*((str(number), content) for number, content in enumerate(contents)), ("3", [])]
    assert [received(pipe[1]) for _ in expected] == expected
    outbox.close()


def test_a_usual_message_is_there_at_once(pipe: tuple[Connection, Connection]) -> None:
    outbox = Outbox(pipe[0])
    outbox.put(job(1), [b"pixels"])
    assert pipe[1].poll(0)
    assert received(pipe[1]) == ("1", [b"pixels"])
    outbox.close()


def test_a_process_that_is_gone_gets_nothing(pipe: tuple[Connection, Connection]) -> None:
    outbox = Outbox(pipe[0])
    pipe[1].close()
    outbox.put(job(1), [bytes(LARGE)])
    outbox.put(job(2))
    outbox.close()
    with pytest.raises(EOFError):
        receive(pipe[0])


def test_a_message_may_have_any_number_of_contents(pipe: tuple[Connection, Connection]) -> None:
    contents = [b"", *(bytes([number % 256]) * number for number in range(3 * MOST_PIECES))]
    sender = threading.Thread(target=send, args=(pipe[0], job(1), contents))
    sender.start()
    assert received(pipe[1]) == ("1", contents)
    sender.join()


def test_a_message_longer_than_is_expected_is_not_read(
    pipe: tuple[Connection, Connection],
) -> None:
    send(pipe[0], job(1), [bytes(1000)])
    with pytest.raises(OSError, match="limit is 1000"):
        receive(pipe[1], 1000)


def test_half_a_message_is_the_end(pipe: tuple[Connection, Connection]) -> None:
    send(pipe[0], job(1), [bytes(1000)])
    half = pipe[1]._recv(500)  # type: ignore[attr-defined]
    other, end = multiprocessing.Pipe()
    other._send(half.getvalue())  # type: ignore[attr-defined]
    other.close()
    with pytest.raises(EOFError):
        receive(end)
    end.close()
