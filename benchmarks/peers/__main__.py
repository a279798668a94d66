"""Serve the same model in several ways, and measure all of them in turns.

Every way gets the same requests from the same client on the same cores: a JSON body with one photo.
The peers call our model class in their own process or processes. CPU time is that of the servers,
without the client. Prints Markdown for ``docs/benchmarks.md``.

    python -m benchmarks.peers [--models fake-20-5,fake-0,efficientnet-lite0] [--rounds 5]
"""

import argparse
import signal
import statistics
import sys
from collections import defaultdict
from dataclasses import dataclass, field

from benchmarks.measuring import machine, percentile, print_row
from benchmarks.peers.environment import ensure_environment
from benchmarks.peers.ways import Way, all_ways
from shared.model_spec import ModelSpec

ROWS = (
    {"name": "fake-20-5", "family": "fake", "parameters": {"predict_s": 0.02, "image_s": 0.005}},
    {"name": "fake-0", "family": "fake"},
    {"name": "efficientnet-lite0", "family": "efficientnet_lite", "engine": {"cpu_batch": 2}},
)
CLIENTS = (4, 16, 64)
SPREAD_CLIENTS = 16
"""With so many clients the spread of latencies is shown."""


@dataclass
class Figures:
    """The measurements of one way."""

    single_s: list[float] = field(default_factory=list)
    rates: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    cpu_s: list[float] = field(default_factory=list)
    """Per request, with ``SPREAD_CLIENTS`` clients, of each round."""
    tails: list[float] = field(default_factory=list)
    """99th percentile by median, with as many clients, of each round."""


def main() -> None:
    """Measure all models and print a table for each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", default=",".join(str(row["name"]) for row in ROWS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # which stops all servers
    programs = ensure_environment()
    for row in ROWS:
        if row["name"] in options.models.split(","):
            spec = ModelSpec.model_validate(row)
            print(f"**{spec.name}**, begun {machine()}\n", flush=True)
            with all_ways(spec, programs) as ways:
                figures = {way.name: Figures() for way in ways}
                for way in ways:  # code and connections become warm
                    way.client.load(options.seconds, max(CLIENTS))
                for _ in range(options.rounds):
                    for way in ways:
                        measure(way, options.seconds, figures[way.name])
            print_table(figures)
            print(f"\nEnded {machine()}\n", flush=True)


def measure(way: Way, seconds_each: float, figures: Figures) -> None:
    """Measure each number of clients once."""
    figures.single_s += way.client.load(seconds_each, 1).latencies_s
    for clients in CLIENTS:
        before_s = way.cpu_s()
        load = way.client.load(seconds_each, clients)
        figures.rates[clients].append(load.per_s)
        if clients == SPREAD_CLIENTS:
            times_s = load.latencies_s
            figures.cpu_s.append((way.cpu_s() - before_s) / len(times_s))
            figures.tails.append(percentile(times_s, 99) / statistics.median(times_s))
    print(f"{way.name}: {figures.rates}", file=sys.stderr, flush=True)


def print_table(figures: dict[str, Figures]) -> None:
    """Print medians over the rounds, and the range of rates with 16 clients for the noise."""
    print_row(
        [
            "way", "1 client, p50 ms", *(f"{n} clients, requests/s" for n in CLIENTS),
            "CPU ms a request", "p99 / p50 at 16", "range at 16",
        ]
    )  # fmt: skip
    print_row(["---"] * (5 + len(CLIENTS)))
    for name, found in figures.items():
        at_16 = found.rates[SPREAD_CLIENTS]
        print_row(
            [
                name,
                f"{1000 * statistics.median(found.single_s):.1f}",
                *(f"{statistics.median(found.rates[n]):.0f}" for n in CLIENTS),
                f"{1000 * statistics.median(found.cpu_s):.1f}",
                f"{statistics.median(found.tails):.2f}",
                f"{min(at_16):.0f} to {max(at_16):.0f}",
            ]
        )


if __name__ == "__main__":
    main()
