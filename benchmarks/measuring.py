"""Tools of all benchmarks: a client of the stack, bare models, timing and tables."""

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.closed_loop import Load, send_for
from shared.allocator import retain_freed_memory
from shared.messages import Instructions
from shared.model_spec import ModelSpec
from shared.settings import ROOT
from shared.tasks.registry import Task
from tests.conftest import data_url
from tests.stack import API, SAMPLES
from workers.model.cpu_threads import spin_briefly
from workers.model.family import LoadContext, load_model
from workers.model.main import prepare, run_batch

PHOTO = SAMPLES / "cat.jpg"
TIMEOUT_S = 600
MEGAPIXELS = 50.0
ALL_CORES = {"VISION_TORCH_THREADS": "0", "OMP_NUM_THREADS": str(os.cpu_count())}
"""Settings of a stack whose models have as many threads as torch itself chooses; tests use one."""


class Client:
    """Sends the same photo to the stack with every call; each thread has its own connection.

    The client runs on the cores that it measures, so it does as little as possible: the body is
    encoded once, and ``http.client`` sends it. With the library requests, which encoded the body
    each time, the client took as much CPU time as a process of the stack.
    """

    def __init__(self, base: str, model: str, task: Task, path: str = "") -> None:
        """Use a server; ``path``: of another program's route, if it is not ours."""
        self._base, self._path = base, path or f"{API}/{task}/{model}"
        self._body = json.dumps({"images": [data_url(PHOTO.read_bytes())]}).encode()
        self._local = threading.local()

    def __call__(self) -> None:
        """Send one request; end the program when the status is not 200."""
        connection = self._connection()
        try:
            status, text = self._post(connection)
        except ConnectionError:  # the API closed an idle connection; request() opens a new one
            connection.close()
            status, text = self._post(connection)
        if status != HTTPStatus.OK:
            sys.exit(text.decode())

    def load(self, seconds_in_all: float, clients: int) -> Load:
        """Have so many clients send requests for some seconds."""
        return send_for(seconds_in_all, self._base, self._path, self._body, clients)

    def rate(self, clients: int, count: int) -> float:
        """Return the requests per second of ``clients`` threads that send ``count`` in total."""
        barrier = threading.Barrier(clients)

        def connect(_: int) -> None:
            connection = self._connection()
            connection.request("GET", "/livez")
            connection.getresponse().read()
            barrier.wait()  # or one thread would connect several times, and others never

        with ThreadPoolExecutor(clients) as pool:
            list(pool.map(connect, range(clients)))
            return count / seconds(lambda: list(pool.map(lambda _: self(), range(count))))

    def _post(self, connection: HTTPConnection) -> tuple[int, bytes]:
        connection.request("POST", self._path, self._body, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        return reply.status, reply.read()

    def _connection(self) -> HTTPConnection:
        if not hasattr(self._local, "connection"):
            self._local.connection = HTTPConnection(urlsplit(self._base).netloc, timeout=TIMEOUT_S)
        connection: HTTPConnection = self._local.connection
        return connection


def bare(
    spec: ModelSpec, folder: Path | None, task: Task, torch_threads: int
) -> Callable[[int], None]:
    """Load a model into this process; return a function that runs a batch of photos.

    It includes all of a worker's work on them, from the encoded photos to the results.
    """
    retain_freed_memory()
    spin_briefly()
    model = load_model(LoadContext(spec, folder, "cpu", torch_threads))
    photo, instructions = PHOTO.read_bytes(), Instructions(tasks=(task,))

    def call(photos: int = 1) -> None:
        run_batch(
            model,
            [prepare(model, [model.preparation.run(photo, MEGAPIXELS)]) for _ in range(photos)],
            [instructions] * photos,
            photos,
        )

    return call


def seconds(call: Callable[[], object]) -> float:
    """Return how many seconds a call takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def spread(times_s: Sequence[float]) -> str:
    """Return the median and the 99th percentile of times in seconds, as text in milliseconds."""
    return f"{1000 * statistics.median(times_s):.1f} / {1000 * percentile(times_s, 99):.1f}"


def percentile(values: Sequence[float], percent: int) -> float:
    """Return a percentile, interpolated linearly."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def machine() -> str:
    """Return a description of this machine and its GPU, with the time and the load average."""
    gpu = "no GPU"
    if nvidia_smi := shutil.which("nvidia-smi"):
        argv = [nvidia_smi, "--query-gpu=name,driver_version", "--format=csv,noheader"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        gpu = done.stdout.strip() or gpu
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} CPU cores "
        f"({platform.machine()}), {gpu}, Python {platform.python_version()}, "
        f"load average {os.getloadavg()[0]:.1f}"
    )


def ensure_checkpoint(name: str, folder: Path, device: str = "cpu") -> None:
    """Create a checkpoint of published size with random weights, unless it is there.

    Args:
        name: of its model.
        folder: of all checkpoints.
        device: where it is made; on a GPU that is faster.
    """
    if (folder / name).exists():
        return
    argv = [
        *(sys.executable, "-m", "tools.full_checkpoints"),
        *("--out", str(folder), "--model", name, "--device", device),
    ]
    subprocess.run(argv, cwd=ROOT, check=True, stdout=sys.stderr)


def print_row(cells: Iterable[object]) -> None:
    """Print a row of a Markdown table."""
    print(f"| {' | '.join(map(str, cells))} |", flush=True)
