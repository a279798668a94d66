"""What goes on beside an attack: a steady load, or probes of ``/livez`` and of an innocent."""

import contextlib
import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPException

from benchmarks.prove.clients import Shot, Tally, connect, mixed_shot, patiently, run

CLIENTS = 16
PROBE_S = 20.0
"""How long a probe waits at most."""
PAUSE_S = 0.05
"""Between two probes."""


@contextlib.contextmanager
def load(base: str) -> Iterator[Tally]:
    """Have clients send one request after the other; the tally is complete after the block."""
    over, tally = threading.Event(), Tally()

    def shots() -> Iterator[Shot]:
        return itertools.takewhile(lambda _: not over.is_set(), map(mixed_shot, itertools.count()))

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run, base, shots(), CLIENTS)
        try:
            yield tally
        finally:
            over.set()
    vars(tally).update(vars(running.result()))


@dataclass
class Probes:
    """How long each probe took, in seconds."""

    livez: list[float] = field(default_factory=list)
    failed: int = 0
    """Of ``/livez``."""
    innocent: Tally = field(default_factory=Tally)
    """One client that sends one request after the other."""


@contextlib.contextmanager
def probes(base: str) -> Iterator[Probes]:
    """Probe the service while the block runs."""
    found, over = Probes(), threading.Event()
    works = (_ask_livez, _ask_innocently)
    threads = [threading.Thread(target=work, args=(base, found, over)) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _ask_livez(base: str, found: Probes, over: threading.Event) -> None:
    while not over.wait(PAUSE_S):
        started = time.monotonic()
        try:
            with contextlib.closing(connect(base, PROBE_S)) as connection:
                connection.request("GET", "/livez")
                connection.getresponse().read()
        except (OSError, HTTPException):
            found.failed += 1
        found.livez.append(time.monotonic() - started)


def _ask_innocently(base: str, found: Probes, over: threading.Event) -> None:
    lock = threading.Lock()
    for number in itertools.count():
        if over.wait(PAUSE_S):
            return
        patiently(base, mixed_shot(number), found.innocent, lock, PROBE_S)
