"""Measure what the stack adds to a model called in-process: HTTP, queue and worker.

Prints Markdown for ``docs/benchmarks.md``. Both are measured in turns, because timings are noisy.
"""

import argparse
import statistics
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.measuring import Client, bare, machine, print_row, seconds, spread
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
    """Print the latencies of one client: with the model in this process, and with the stack."""
    print("| model | in-process p50 / p99 ms | stack p50 / p99 ms | added p50 / p99 ms |")
    print("| --- | --- | --- | --- |")
    catalog = Catalog.load(CATALOG)
    for model, task in CASES:
        bare_model, client = bare(catalog.get(model), None, task, 1), Client(base, model, task)
        bare_model(1)  # the first call of each is slow
        client()
        in_process, stack = [], []
        for _ in range(count):
            in_process.append(seconds(partial(bare_model, 1)))
            stack.append(seconds(client))
        added = [b - a for a, b in zip(sorted(in_process), sorted(stack), strict=True)]
        print_row([model, spread(in_process), spread(stack), spread(added)])


def throughput_table(base: str, count: int) -> None:
    """Print requests per second by number of clients: medians of interleaved rounds."""
    print(f"\n| model | {' | '.join(f'{n} clients' for n in CLIENTS)} |")
    print("| --- |" + " --- |" * len(CLIENTS))
    for model, task in CASES:
        client = Client(base, model, task)
        rates: dict[int, list[float]] = {n: [] for n in CLIENTS}
        for _ in range(ROUNDS):
            for clients in CLIENTS:
                rates[clients].append(client.rate(clients, count))
        print_row([model, *(f"{statistics.median(rates[n]):.1f}/s" for n in CLIENTS)])


if __name__ == "__main__":
    main()
