"""Compare checkouts of this project, such as before and after a change: latency, rate, CPU time.

A stack of each runs all the time, and they are measured in turns, because timings are noisy. Redis,
API, worker, model and preparing processes count towards the CPU time. Prints Markdown.
"""

import argparse
import contextlib
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import psutil
import yaml

from benchmarks.measuring import Client, bare, machine, percentile, print_row, seconds
from shared.model_spec import ModelSpec
from shared.settings import ROOT
from shared.tasks import CAPTION

MODELS: Mapping[str, Mapping[str, float]] = {
    "nothing": {},
    "batched": {"predict_s": 0.020, "image_s": 0.005},
}
"""Parameters of fake models: one that costs nothing; one with 20 ms a batch and 5 ms a photo."""
ROLES = ("API", "Redis", "worker", "preparing", "model")
"""Whose CPU time is told apart."""
PARTS = {
    "valkey-server": "Redis",
    "redis-server": "Redis",
    "gunicorn": "API",
    "-m workers": "worker",
}
"""What shows in a command which process it is."""
WARM_UP_S = 3.0
BARE_CALLS = 30
# It runs in the folder of its checkout, until its input closes.
_STACK = """
import sys
from pathlib import Path
from shared.catalog import Catalog
from tests.stack import running_stack
folder, catalog, *models = sys.argv[1:]
settings = {"VISION_CATALOG": catalog, "VISION_MODELS": models[0]}
with running_stack(Path(folder), **settings) as stack:
    stack.catalog = Catalog.load(Path(catalog))
    for model in models:
        stack.worker(model)
    print(stack.api(), flush=True)
    sys.stdin.read()
"""


class Side(NamedTuple):
    """The stack of one checkout."""

    name: str
    base: str
    process: psutil.Process

    def cpu_s(self) -> dict[str, float]:
        """Return the CPU time of its processes so far, by what they are."""
        spent = dict.fromkeys(ROLES, 0.0)
        for process in self.process.children(recursive=True):
            times = process.cpu_times()
            spent[_role(process)] += times.user + times.system
        return spent


def _role(process: psutil.Process) -> str:
    command = " ".join(process.cmdline())
    for part, role in PARTS.items():
        if part in command:
            return role
    parent = process.parent()
    # A model process is forked by a fork server, whose parent is the worker.
    return "preparing" if parent and _role(parent) == "worker" else "model"


class Figures(NamedTuple):
    """What was measured of one side with so many clients, in one round."""

    p50_ms: float
    p99_ms: float
    per_s: float
    cpu_ms: dict[str, float]
    """For each request, by process."""


def main() -> None:
    """Run all stacks, measure them in turns, and print a table for each model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("others", nargs="*", type=Path, help="folders of other checkouts")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS)
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 4, 16, 64])
    chosen = parser.parse_args()
    print(f"{machine()}, {chosen.rounds} rounds of {chosen.seconds:g} s, photo of 35 kB.")
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as cleanup:
        catalog = _write_catalog(Path(folder) / "models.yaml")
        sides = [
            cleanup.enter_context(
                _running(checkout, Path(folder) / str(number), catalog, chosen.models)
            )
            for number, checkout in enumerate((*chosen.others, ROOT))
        ]
        for model in chosen.models:
            _compare(model, sides, chosen.clients, chosen.seconds, chosen.rounds)


def _write_catalog(path: Path) -> Path:
    """Write a catalogue of the models of this benchmark."""
    rows = [{"name": n, "family": "fake", "parameters": dict(p)} for n, p in MODELS.items()]
    path.write_text(yaml.safe_dump({"models": rows}))
    return path


@contextlib.contextmanager
def _running(checkout: Path, folder: Path, catalog: Path, models: Sequence[str]) -> Iterator[Side]:
    folder.mkdir()
    argv = [sys.executable, "-c", _STACK, str(folder), str(catalog), *models]
    with subprocess.Popen(
        argv, cwd=checkout, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        base = process.stdout.readline().strip()
        try:
            yield Side(checkout.resolve().name, base, psutil.Process(process.pid))
        finally:
            process.communicate()


def _compare(
    model: str, sides: Sequence[Side], clients: Sequence[int], seconds_each: float, rounds: int
) -> None:
    in_process = bare(
        ModelSpec(name=model, family="fake", parameters=dict(MODELS[model])), None, CAPTION, 1
    )
    for side in sides:
        _measure(side, model, max(clients), WARM_UP_S)
    bare_s: list[float] = []
    found: dict[tuple[int, Side], list[Figures]] = {}
    for _ in range(rounds):
        bare_s += [seconds(partial(in_process, 1)) for _ in range(BARE_CALLS)]
        for count in clients:
            for side in sides:
                figures = _measure(side, model, count, seconds_each)
                found.setdefault((count, side), []).append(figures)
    bare_ms = 1000 * statistics.median(bare_s)
    print(f"\n{model} ({dict(MODELS[model])}), in-process {bare_ms:.1f} ms\n")
    figures_of = ["p50 ms", "p99 ms", "p99/p50", "requests/s", "CPU ms", *ROLES]
    print_row(["clients", "checkout", *figures_of])
    print_row(["---"] * (2 + len(figures_of)))
    for (count, side), each in sorted(found.items(), key=lambda item: item[0][0]):
        p50, p99, rate, cpu_ms = (
            statistics.median(values)
            for values in zip(*((*one[:3], sum(one.cpu_ms.values())) for one in each), strict=True)
        )
        by_process = [statistics.median(one.cpu_ms[role] for one in each) for role in ROLES]
        cells = [f"{p50:.1f}", f"{p99:.1f}", f"{p99 / p50:.2f}", f"{rate:.0f}"]
        cells += [f"{cpu_ms:.1f}", *(f"{ms:.2f}" for ms in by_process)]
        print_row([count, side.name, *cells])


def _measure(side: Side, model: str, clients: int, seconds_each: float) -> Figures:
    client, began = Client(side.base, model, CAPTION), side.cpu_s()
    load = client.load(seconds_each, clients)
    cpu_ms = {
        role: 1000 * (s - began[role]) / len(load.latencies_s) for role, s in side.cpu_s().items()
    }
    p50, p99 = (1000 * percentile(load.latencies_s, percent) for percent in (50, 99))
    return Figures(p50, p99, load.per_s, cpu_ms)


if __name__ == "__main__":
    main()
