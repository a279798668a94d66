"""What the benchmarks share: a client of the stack, calls of a model in this process, timing."""

import json
import os
import platform
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from shared.allocator import retain_freed_memory
from shared.messages import Instructions
from shared.model_spec import ModelSpec
from shared.tasks.registry import Task
from tests.conftest import data_url
from tests.stack import API, SAMPLES
from workers.model.family import load_model
from workers.model.main import prepare, run_batch

PHOTO = SAMPLES / "cat.jpg"
TIMEOUT_S = 600


class Client:
    """Sends one photo to the stack again and again; each thread has a connection of its own.

    It runs on the cores that it measures and is no part of the stack, so it does as little as
    possible: the body is encoded once, and http.client sends it. With requests, which encoded it
    each time, the client cost as much CPU time as a process of the stack.
    """

    def __init__(self, base: str, model: str, task: Task) -> None:
        self._address, self._path = urlsplit(base).netloc, f"{API}/{task}/{model}"
        self._body = json.dumps({"images": [data_url(PHOTO.read_bytes())]}).encode()
        self._local = threading.local()

    def __call__(self) -> None:
        """Ask once; ends the program when the answer is not 200."""
        connection = self._connection()
        try:
            status, text = self._ask(connection)
        except ConnectionError:  # idle for long, the API has closed it: the next call connects
            connection.close()
            status, text = self._ask(connection)
        if status != HTTPStatus.OK:
            sys.exit(text.decode())

    def rate(self, clients: int, count: int) -> float:
        """Return requests per second of ``clients`` threads that ask ``count`` times together."""
        barrier = threading.Barrier(clients)

        def connect(_: int) -> None:
            connection = self._connection()
            connection.request("GET", "/livez")
            connection.getresponse().read()
            barrier.wait()  # so that no thread connects for another one

        with ThreadPoolExecutor(clients) as pool:
            list(pool.map(connect, range(clients)))
            return count / seconds(lambda: list(pool.map(lambda _: self(), range(count))))

    def _ask(self, connection: HTTPConnection) -> tuple[int, bytes]:
        connection.request("POST", self._path, self._body, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        return reply.status, reply.read()

    def _connection(self) -> HTTPConnection:
        if not hasattr(self._local, "connection"):
            self._local.connection = HTTPConnection(self._address, timeout=TIMEOUT_S)
        connection: HTTPConnection = self._local.connection
        return connection


def bare(
    spec: ModelSpec, folder: Path | None, task: Task, torch_threads: int
) -> Callable[[int], None]:
    """Load a model into this process; returns a call for a number of photos.

    The call goes from the encoded photos to the results, as one batch.
    """
    retain_freed_memory()
    model = load_model(spec, folder, "cpu", torch_threads)
    photo, instructions = PHOTO.read_bytes(), Instructions(tasks=(task,))

    def call(photos: int = 1) -> None:
        run_batch(model, [prepare(model, [photo]) for _ in range(photos)], instructions, photos)

    return call


def seconds(call: Callable[[], object]) -> float:
    """Return how long a call takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def spread(times_s: Sequence[float]) -> str:
    """Return median and 99th percentile of some seconds, in milliseconds."""
    return f"{1000 * statistics.median(times_s):.1f} / {1000 * percentile(times_s, 99):.1f}"


def percentile(values: Sequence[float], percent: int) -> float:
    """Return a percentile."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def machine() -> str:
    """Say when and where this is measured, and how busy others keep it."""
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} CPU cores "
        f"({platform.machine()}), no GPU, Python {platform.python_version()}, "
        f"load average {os.getloadavg()[0]:.1f}"
    )
