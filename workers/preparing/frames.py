"""Messages on pipes: JSON, and bytes as they are, without copies in memory on their way.

``multiprocessing`` has the same for one object, but copies its bytes twice on each side, and writes
their number by itself if they are many, which wakes the other process in vain.
"""

import itertools
import os
import socket
import struct
from collections.abc import Sequence
from multiprocessing.connection import Connection

from pydantic import BaseModel

_HEAD = struct.Struct("!QQQ")
"""How many bytes come next, how many of them are JSON, and how many contents there are. Before the
JSON are their sizes, and they follow it, at once if they are small."""
_SMALL = 16 * 1024
"""Bytes of contents that are copied, since it takes less time than another call of the system."""
MOST_PIECES = 512
"""In one call of the system, which takes twice as many at most."""


def send(pipe: Connection, message: BaseModel, contents: Sequence[bytes] = ()) -> None:
    """Send a message, and what goes with it."""
    left = pieces_of(message, contents)
    while left:
        left = without(left, os.writev(pipe.fileno(), left[:MOST_PIECES]))


def pieces_of(message: BaseModel, contents: Sequence[bytes]) -> list[bytes | memoryview]:
    """Return what :func:`send` writes, one after the other."""
    text = message.model_dump_json().encode()
    sizes = struct.pack(f"!{len(contents)}Q", *map(len, contents))
    copied = contents if sum(map(len, contents)) <= _SMALL else ()
    front = b"".join((sizes, text, *copied))
    first = _HEAD.pack(len(front), len(text), len(contents)) + front
    return [first] if copied else [first, *contents]


def without(pieces: Sequence[bytes | memoryview], count: int) -> list[bytes | memoryview]:
    """Return what is left of some pieces when so many bytes are written."""
    for number, piece in enumerate(pieces):
        if count < len(piece):
            return [memoryview(piece)[count:], *pieces[number + 1 :]]
        count -= len(piece)
    return []


def receive(pipe: Connection, most_bytes: int | None = None) -> tuple[bytes, list[bytes]]:
    """Wait for a message; return its JSON, and what goes with it.

    Args:
        pipe: where it comes.
        most_bytes: how long it may be.

    Raises:
        EOFError: the other process is gone.
        OSError: it is gone, or the message is too long.
        ValueError: this is no message.
    """
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, pipe.fileno())
    try:
        length, text_length, count = _HEAD.unpack(_read(stream, _HEAD.size))
        _check(length, most_bytes)
        front = _read(stream, length)
        sizes = struct.unpack_from(f"!{count}Q", front)
        at = 8 * count + text_length
        text = front[8 * count : at]
        if len(front) == at:
            _check(length + sum(sizes), most_bytes)
            return text, [_read(stream, size) for size in sizes]
        ends = list(itertools.accumulate(sizes, initial=at))
        return text, [front[start:end] for start, end in itertools.pairwise(ends)]
    except struct.error as err:
        raise ValueError(str(err)) from err
    finally:
        stream.detach()  # it is the pipe's


def _check(size: int, most_bytes: int | None) -> None:
    if most_bytes is not None and size > most_bytes:
        msg = f"a message of {size} bytes, but the limit is {most_bytes}"
        raise OSError(msg)


def _read(stream: socket.socket, size: int) -> bytes:
    """Wait for so many bytes.

    Raises:
        EOFError: the other side is closed.
    """
    if not size:
        return b""
    data = stream.recv(size, socket.MSG_WAITALL)
    while data and len(data) < size:  # a signal came
        more = stream.recv(size - len(data), socket.MSG_WAITALL)
        if not more:
            break
        data += more
    if len(data) < size:
        raise EOFError
    return data
