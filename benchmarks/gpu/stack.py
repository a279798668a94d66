"""The whole stack under load: images per second, latencies and how busy the GPU is."""

import contextlib
import os
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from benchmarks.gpu.results import Results
from benchmarks.gpu.rows import Arguments, arguments, row
from benchmarks.measuring import Client, ensure_checkpoint, percentile, seconds
from shared.catalog import Catalog
from shared.tasks import CAPTION
from tests.stack import Stack, running_stack

LOADS, SMALL_LOADS = (64, 1, 32, 8), (4, 1)
"""Numbers of clients."""
WARM_UP_S, CELL_S = 15.0, 6.0
"""Before the first cell batches grow and graphs are recorded."""
API_PROCESSES = 4
LOAD_TIMEOUT_S = 120.0


def main() -> None:
    """Measure one model with one worker until the time is over."""
    given = arguments()
    until = time.monotonic() + given.limit_s
    results = Results(given.out)
    ensure_checkpoint(given.model, given.checkpoints, "cuda")
    loads = SMALL_LOADS if given.small else LOADS
    with tempfile.TemporaryDirectory() as folder, stack_of(given, Path(folder)) as (stack, base):
        began = time.perf_counter()
        stack.another_worker(given.model)
        stack.wait_ready(given.model, timeout_s=LOAD_TIMEOUT_S)
        results.add("stack", given.model, "start", ready_s=time.perf_counter() - began)
        client = Client(base, given.model, CAPTION)
        run_for(client, loads[0], 1.0 if given.small else WARM_UP_S)
        for clients in loads:
            if time.monotonic() + CELL_S > until:
                break
            with gpu_busy() as busy:
                figures = run_for(client, clients, 1.0 if given.small else CELL_S)
            shares = {"gpu_percent": statistics.fmean(busy)} if busy else {}
            results.add("stack", given.model, f"{clients} clients", **figures, **shares)
        worker = stack.presence(given.model).workers[0]
        results.add("stack", given.model, "worker", status=worker.model_dump_json())


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
        VISION_TORCH_THREADS="0",
        OMP_NUM_THREADS=str(os.cpu_count()),
        VISION_REQUEST_SLOTS="150",
    ) as stack:
        stack.catalog = Catalog.load(catalog)
        yield stack, stack.api(VISION_API_PROCESSES="1" if given.small else str(API_PROCESSES))


def run_for(client: Client, clients: int, length_s: float) -> dict[str, float]:
    """Have so many clients send requests without pause; return rate and latencies."""
    stop = time.perf_counter() + length_s
    times: list[float] = []
    lock = threading.Lock()

    def send_requests(_: int) -> None:
        while time.perf_counter() < stop:
            taken = seconds(client)
            with lock:
                times.append(taken)

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(send_requests, range(clients)))
    elapsed = time.perf_counter() - began
    if len(times) == 1:
        return {"images_per_s": 1 / elapsed, "p50_ms": 1000 * times[0]}
    return {
        "images_per_s": len(times) / elapsed,
        "p50_ms": 1000 * statistics.median(times),
        "p99_ms": 1000 * percentile(times, 99),
    }


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
