"""What the benchmarks share: a client of the stack, calls of a model in this process, timing."""

import os
import platform
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import requests

from shared.catalog import ModelSpec
from shared.vocabulary import Task
from tests.conftest import data_url
from tests.stack import API, SAMPLES
from workers.model_process import prepare, run_batch
from workers.models.base import load_model
from workers.wire import Ask

PHOTO = SAMPLES / "cat.jpg"
TIMEOUT_S = 600


class Client:
    """Sends one photo to the stack again and again; each thread has a connection of its own."""

    def __init__(self, base: str, model: str, task: Task) -> None:
        self._alive, self._url = f"{base}/livez", f"{base}{API}/{task}/{model}"
        self._body = {"images": [data_url(PHOTO.read_bytes())]}
        self._local = threading.local()

    def __call__(self) -> None:
        """Ask once; ends the program when the answer is not 200."""
        reply = self._session().post(self._url, json=self._body, timeout=TIMEOUT_S)
        if reply.status_code != requests.codes.ok:
            sys.exit(reply.text)

    def rate(self, clients: int, count: int) -> float:
        """Return requests per second of ``clients`` threads that ask ``count`` times together."""
        barrier = threading.Barrier(clients)

        def connect(_: int) -> None:
            self._session().get(self._alive, timeout=TIMEOUT_S)
            barrier.wait()  # so that no thread connects for another one

        with ThreadPoolExecutor(clients) as pool:
            list(pool.map(connect, range(clients)))
            return count / seconds(lambda: list(pool.map(lambda _: self(), range(count))))

    def _session(self) -> requests.Session:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
        session: requests.Session = self._local.session
        return session


def bare(
    spec: ModelSpec, folder: Path | None, task: Task, torch_threads: int
) -> Callable[[int], None]:
    """Load a model into this process; returns a call for a number of photos.

    The call goes from the encoded photos to the results, as one batch.
    """
    model = load_model(spec, folder, "cpu", torch_threads)
    photo, ask = PHOTO.read_bytes(), Ask(tasks=(task,))

    def call(photos: int = 1) -> None:
        run_batch(model, ask, [prepare(model, [photo]) for _ in range(photos)])

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
