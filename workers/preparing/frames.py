"""Messages on pipes: JSON, and bytes as they are, in one frame unless they are many.

Each frame costs a process several calls of the system, and wakes the other one.
"""

import struct
from collections.abc import Sequence
from multiprocessing.connection import Connection

from pydantic import BaseModel

from shared.allocator import MIB

_COUNT = struct.Struct("!Q")
MOST_COPIED = MIB
"""Bytes that are copied into the frame of their message; more follow in frames of their own."""


def send(pipe: Connection, message: BaseModel, contents: Sequence[bytes] = ()) -> None:
    """Send a message, and what goes with it."""
    text = message.model_dump_json().encode()
    sizes = [len(text), *map(len, contents)]
    copied = contents if sum(sizes) <= MOST_COPIED else ()
    head = struct.pack(f"!{len(sizes) + 1}Q", len(sizes), *sizes)
    pipe.send_bytes(b"".join((head, text, *copied)))
    if not copied:
        for content in contents:
            pipe.send_bytes(content)


def receive(pipe: Connection, most_bytes: int | None = None) -> tuple[bytes, list[bytes]]:
    """Wait for a message; return its JSON, and what goes with it.

    Args:
        pipe: where it comes.
        most_bytes: how long a frame may be.

    Raises:
        EOFError: the other process is gone.
        OSError: it is gone, or a frame is too long.
        ValueError: this is no message.
    """
    frame = pipe.recv_bytes(most_bytes)
    try:
        (count,) = _COUNT.unpack_from(frame)
        sizes = struct.unpack_from(f"!{count}Q", frame, _COUNT.size)
    except struct.error as err:
        raise ValueError(str(err)) from err
    at = _COUNT.size * (count + 1)
    pieces = []
    for size in sizes if len(frame) == at + sum(sizes) else sizes[:1]:
        pieces.append(frame[at : at + size])
        at += size
    pieces += [pipe.recv_bytes(most_bytes) for _ in sizes[len(pieces) :]]
    return pieces[0], pieces[1:]
