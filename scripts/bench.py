"""Measure what the stack adds to a model: in-process against HTTP, queue and worker, in one run.

Prints Markdown for ``docs/benchmarks.md``. Both sides are interleaved, for timings are noisy.
"""

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import local

import requests

from shared.catalog import Catalog
from shared.vocabulary import Task
from tests.conftest import data_url
from tests.stack import API, CATALOG, SAMPLES, running_stack
from workers.model_process import prepare, run_batch
from workers.models.base import load_model
from workers.wire import Ask

CASES = (("fake", Task.CAPTION), ("efficientnet-lite0", Task.LABELS), ("opennsfw", Task.NSFW))
CLIENTS = (1, 8, 32)
ROUNDS = 3
_local = local()


def main() -> None:
    """Run all cases and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100, help="requests per measurement")
    count = parser.parse_args().requests
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} CPU cores ({platform.machine()}), no GPU,"
    )
    print(f"Python {platform.python_version()}, {count} requests a cell, photo of 35 kB.\n")
    with tempfile.TemporaryDirectory() as folder, running_stack(Path(folder)) as stack:
        base = stack.api()
        for model, _ in CASES:
            stack.worker(model)
        latency_table(base, count)
        throughput_table(base, count)


def latency_table(base: str, count: int) -> None:
    """Print one client's latencies: model in this process, and through the stack."""
    print("| model | in-process p50 / p99 ms | stack p50 / p99 ms | added p50 / p99 ms |")
    print("| --- | --- | --- | --- |")
    for model, task in CASES:
        bare, whole = in_process(model, task), through_stack(base, model, task)
        for call in (bare, whole):
            call()
        near, far = [], []
        for _ in range(count):
            near.append(timed(bare))
            far.append(timed(whole))
        added = [b - a for a, b in zip(sorted(near), sorted(far), strict=True)]
        print(f"| {model} | {spread(near)} | {spread(far)} | {spread(added)} |", flush=True)


def throughput_table(base: str, count: int) -> None:
    """Print requests a second at several numbers of clients, medians of interleaved rounds."""
    print(f"\n| model | {' | '.join(f'{n} clients' for n in CLIENTS)} |")
    print("| --- |" + " --- |" * len(CLIENTS))
    for model, task in CASES:
        call = through_stack(base, model, task)
        rates: dict[int, list[float]] = {n: [] for n in CLIENTS}
        for _ in range(ROUNDS):
            for clients in CLIENTS:
                rates[clients].append(rate(call, clients, count))
        cells = " | ".join(f"{statistics.median(rates[n]):.1f}/s" for n in CLIENTS)
        print(f"| {model} | {cells} |", flush=True)


def in_process(model: str, task: Task) -> Callable[[], None]:
    """Return a call of the model in this process, from the encoded photo to the result."""
    loaded = load_model(Catalog.load(CATALOG).get(model), None, "cpu", 1)
    photo, ask = (SAMPLES / "cat.jpg").read_bytes(), Ask(tasks=(task,))

    def call() -> None:
        run_batch(loaded, ask, [prepare(loaded, [photo])])

    return call


def through_stack(base: str, model: str, task: Task) -> Callable[[], None]:
    """Return a request for the same photo over HTTP."""
    body = {"images": [data_url((SAMPLES / "cat.jpg").read_bytes())]}

    def call() -> None:
        if not hasattr(_local, "session"):
            _local.session = requests.Session()
        reply = _local.session.post(f"{base}{API}/{task}/{model}", json=body, timeout=120)
        if reply.status_code != requests.codes.ok:
            sys.exit(reply.text)

    return call


def rate(call: Callable[[], None], clients: int, count: int) -> float:
    """Return calls per second of ``clients`` threads."""
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(lambda _: call(), range(clients)))  # connections first
        started = time.perf_counter()
        list(pool.map(lambda _: call(), range(count)))
        return count / (time.perf_counter() - started)


def timed(call: Callable[[], None]) -> float:
    """Return how long a call takes, in milliseconds."""
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1000


def spread(values: Sequence[float]) -> str:
    """Return median and 99th percentile."""
    return f"{statistics.median(values):.1f} / {statistics.quantiles(values, n=100)[98]:.1f}"


if __name__ == "__main__":
    main()
