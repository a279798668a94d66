"""Measure what the stack adds to a model: in-process against HTTP, queue and worker, in one run.

Prints Markdown for ``docs/benchmarks.md``. Both sides are interleaved, for timings are noisy.
"""

import argparse
import statistics
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.measuring import Client, bare, machine, seconds, spread
from shared.catalog import Catalog
from shared.tasks import CAPTION, LABELS, NSFW
from tests.stack import CATALOG, running_stack

CASES = (("fake", CAPTION), ("efficientnet-lite0", LABELS), ("opennsfw", NSFW))
CLIENTS = (1, 8, 32)
ROUNDS = 3


def main() -> None:
    """Run all cases and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100, help="requests per measurement")
    count = parser.parse_args().requests
    print(f"{machine()}, {count} requests a cell, photo of 35 kB.\n")
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
    catalog = Catalog.load(CATALOG)
    for model, task in CASES:
        near_call, far_call = bare(catalog.get(model), None, task, 1), Client(base, model, task)
        near_call(1)
        far_call()
        near, far = [], []
        for _ in range(count):
            near.append(seconds(partial(near_call, 1)))
            far.append(seconds(far_call))
        added = [b - a for a, b in zip(sorted(near), sorted(far), strict=True)]
        print(f"| {model} | {spread(near)} | {spread(far)} | {spread(added)} |", flush=True)


def throughput_table(base: str, count: int) -> None:
    """Print requests a second at several numbers of clients, medians of interleaved rounds."""
    print(f"\n| model | {' | '.join(f'{n} clients' for n in CLIENTS)} |")
    print("| --- |" + " --- |" * len(CLIENTS))
    for model, task in CASES:
        client = Client(base, model, task)
        rates: dict[int, list[float]] = {n: [] for n in CLIENTS}
        for _ in range(ROUNDS):
            for clients in CLIENTS:
                rates[clients].append(client.rate(clients, count))
        cells = " | ".join(f"{statistics.median(rates[n]):.1f}/s" for n in CLIENTS)
        print(f"| {model} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
