"""Preparations that misbehave, which the pool's processes import by name."""

import contextlib
import os
import signal
import time
import uuid
from pathlib import Path
from typing import Any

from shared.allocator import resident_bytes
from shared.units import MEGA
from workers.preparing.preparation import Preparation, Prepared


def step(name: str, **parameters: Any) -> Preparation:
    """Return one of the functions below as a preparation."""
    return Preparation(target=f"{__name__}:{name}", parameters=parameters)


def echo(data: bytes, _: float, **__: Any) -> Prepared:
    """Return the data and the id of the process."""
    return Prepared(data + b" %d" % os.getpid())


def sleep(data: bytes, _: float, seconds: float) -> Prepared:
    """Take some time."""
    time.sleep(seconds)
    return Prepared(data)


def hold(data: bytes, _: float, folder: str) -> Prepared:
    """Leave a mark in a folder, and wait until the folder is gone."""
    with contextlib.suppress(FileNotFoundError):
        (Path(folder) / uuid.uuid4().hex).touch()
    while Path(folder).exists():
        time.sleep(0.02)
    return Prepared(data)


def crash(_: bytes, __: float, signal_number: int = signal.SIGSEGV) -> Prepared:
    """End the process."""
    os.kill(os.getpid(), signal_number)
    return Prepared(b"")


def allocate(_: bytes, __: float, megabytes: int) -> Prepared:
    """Use much memory, and say how much the process then holds."""
    content = bytearray(int(megabytes * MEGA))
    content[:] = b"1" * len(content)
    return Prepared(b"%d" % resident_bytes())


def bug(_: bytes, __: float) -> Prepared:
    """Raise what is no fault of the image."""
    msg = "a bug"
    raise KeyError(msg)


def lie(data: bytes, _: float) -> Prepared:
    """State another size than the content has."""
    return Prepared(data, 1000, 1000)
