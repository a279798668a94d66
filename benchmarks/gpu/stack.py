"""The whole stack under load: images per second, latencies, and what keeps it from more."""

import contextlib
import io
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import yaml
from PIL import Image

from benchmarks.closed_loop import send_for
from benchmarks.gpu.results import Results
from benchmarks.gpu.rows import Arguments, arguments, row
from benchmarks.measuring import ALL_CORES, PHOTO, ensure_checkpoint, percentile
from shared.catalog import Catalog
from shared.redis.presence import WorkerStatus
from shared.tasks import CAPTION
from tests.conftest import data_url
from tests.stack import API, Stack, running_stack

LOADS, SMALL_LOADS = (64, 16, 1, 128, 32), (4, 1)
"""Numbers of clients, the most telling first."""
WARM_UP_S, CELL_S = 10.0, 5.0
"""Before the first cell batches grow and graphs are recorded."""
SMALL_S = 1.0
API_PROCESSES = 4
LOAD_TIMEOUT_S = 120.0
WIDTH = 720
"""Pixels of the photo's longer side, as PhotoPrism sends it."""


def main() -> None:
    """Measure one model with one worker until the time is over."""
    given = arguments()
    until = given.until
    results = Results(given.out)
    ensure_checkpoint(given.model, given.checkpoints, "cuda")
    loads = SMALL_LOADS if given.small else LOADS
    cell_s = SMALL_S if given.small else CELL_S
    body = json.dumps({"images": [data_url(photo())]}).encode()
    path = f"{API}/{CAPTION}/{given.model}"
    with tempfile.TemporaryDirectory() as folder, stack_of(given, Path(folder)) as (stack, base):
        began = time.perf_counter()
        worker = stack.another_worker(given.model)
        stack.wait_ready(given.model, timeout_s=LOAD_TIMEOUT_S)
        results.add("stack", given.model, "start", ready_s=time.perf_counter() - began)
        send_for(SMALL_S if given.small else WARM_UP_S, base, path, body, loads[0])
        for clients in loads:
            if time.monotonic() + cell_s > until:
                break
            before = status(stack, given.model)
            with gpu_busy() as busy, cores(stack, worker.pid, before.model_pid) as used:
                load = send_for(cell_s, base, path, body, clients)
            figures = {
                "images_per_s": load.per_s,
                "p50_ms": 1000 * statistics.median(load.latencies_s),
                "p99_ms": 1000 * percentile(load.latencies_s, 99),
                "batches": batches(before, status(stack, given.model)),
                "cores": " ".join(f"{name} {share:.2f}" for name, share in used.items()),
            }
            shares = {"gpu_percent": statistics.fmean(busy)} if busy else {}
            results.add("stack", given.model, f"{clients} clients", **figures, **shares)
        found = status(stack, given.model)
        results.add("stack", given.model, "worker", status=found.model_dump_json())


def photo() -> bytes:
    """Return a JPEG of :data:`WIDTH` pixels."""
    with Image.open(PHOTO) as image:
        size = (WIDTH, round(WIDTH * image.height / image.width))
        encoded = io.BytesIO()
        image.resize(size).save(encoded, "JPEG", quality=85)
    return encoded.getvalue()


def status(stack: Stack, model: str) -> WorkerStatus:
    """Return what the only worker tells of itself, at most a second old."""
    return stack.presence(model).workers[0]


def batches(before: WorkerStatus, after: WorkerStatus) -> str:
    """Return the sizes of the batches in between, each with how many there were."""
    new = Counter(after.batches)
    new.subtract(before.batches)
    return " ".join(f"{size}:{count}" for size, count in sorted(new.items()) if count)


@contextlib.contextmanager
def cores(stack: Stack, worker: int, model: int) -> Iterator[dict[str, float]]:
    """Tell afterwards how many CPU cores each part of the stack has used, and the clients.

    Args:
        stack: what runs.
        worker: process id of the worker.
        model: process id of its model process.
    """
    parts = {os.getpid(): "clients", stack.redis_process.pid: "redis"}
    parts |= {worker: "worker", model: "model"}
    used: dict[str, float] = {}
    began, before = time.perf_counter(), _cpu_s(parts)
    yield used
    elapsed = time.perf_counter() - began
    for part, seconds in _cpu_s(parts).items():
        used[part] = (seconds - before.get(part, 0.0)) / elapsed


def _cpu_s(parts: dict[int, str]) -> dict[str, float]:
    found: dict[str, float] = dict.fromkeys(("api", *parts.values(), "preparing"), 0.0)
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            other = "api" if "gunicorn" in " ".join(process.cmdline()) else "preparing"
            found[parts.get(process.pid, other)] += times.user + times.system
    return found


@contextlib.contextmanager
def stack_of(given: Arguments, folder: Path, **engine: object) -> Iterator[tuple[Stack, str]]:
    """Run a stack without workers, whose catalogue has the model with some engine options changed.

    Yields the stack and its URL.
    """
    catalog = folder / "models.yaml"
    measured = row(given.model)
    measured["engine"] = {**measured.get("engine", {}), **engine}
    catalog.write_text(yaml.safe_dump({"models": [measured]}))
    with running_stack(
        folder,
        VISION_CATALOG=str(catalog),
        VISION_MODELS=given.model,
        VISION_MODELS_DIR=str(given.checkpoints),
        VISION_REQUEST_SLOTS="150",
        **ALL_CORES,
    ) as stack:
        stack.catalog = Catalog.load(catalog)
        yield stack, stack.api(VISION_API_PROCESSES="1" if given.small else str(API_PROCESSES))


@contextlib.contextmanager
def gpu_busy() -> Iterator[list[float]]:
    """Sample the GPU's utilisation, percent, as nvidia-smi tells it; nothing without it."""
    samples: list[float] = []
    argv = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms"]
    try:
        process = subprocess.Popen([*argv, "100"], stdout=subprocess.PIPE, text=True)
    except FileNotFoundError:
        yield samples
        return
    try:
        yield samples
    finally:
        process.terminate()
        samples += [float(line) for line in process.communicate()[0].split() if line.isdecimal()]


if __name__ == "__main__":
    main()
