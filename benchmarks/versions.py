"""Compare checkouts of this project, such as before and after a change: latency, rate, CPU time.

A stack of each runs all the time, with the Python of its own ``.venv`` if it has one, and they are
measured in turns, because timings are noisy. Redis, API, worker, model and preparing processes
count towards the CPU time. Models are fakes, or those of :mod:`benchmarks.engine`. Prints Markdown.
"""

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import yaml

from benchmarks.engine import CASES, real_rows
from benchmarks.measuring import (
    ALL_CORES,
    Client,
    bare,
    ensure_checkpoint,
    machine,
    percentile,
    print_row,
    seconds,
)
from shared.model_spec import ModelSpec
from shared.settings import ROOT
from shared.tasks import CAPTION
from shared.tasks.registry import Task

FAKES: Mapping[str, Mapping[str, float]] = {
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
BARE_CALLS, BARE_S = 30, 1.0
"""Of the model in this process in each round: how many calls at most, and for how long."""
# It runs in the folder of its checkout, until its input closes.
_STACK = """
import json, sys
from pathlib import Path
from shared.catalog import Catalog
from tests.stack import running_stack
folder, catalog, settings, *models = sys.argv[1:]
with running_stack(Path(folder), VISION_CATALOG=catalog, **json.loads(settings)) as stack:
    stack.catalog = Catalog.load(Path(catalog))
    for model in models:
        stack.another_worker(model)
        stack.wait_ready(model, timeout_s=400)
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
    parser.add_argument("--models", nargs="+", default=list(FAKES), choices=[*FAKES, *CASES])
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 4, 16, 64])
    parser.add_argument("--checkpoints", type=Path, help="folder of the real models' weights")
    chosen = parser.parse_args()
    print(f"{machine()}, {chosen.rounds} rounds of {chosen.seconds:g} s, photo of 35 kB.")
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as cleanup:
        checkpoints = chosen.checkpoints or Path(folder)
        for name in chosen.models:
            if name in CASES and _spec(name).source:
                ensure_checkpoint(name, checkpoints)
        sides = [
            cleanup.enter_context(
                _running(checkout, Path(folder) / str(number), checkpoints, chosen.models)
            )
            for number, checkout in enumerate((*chosen.others, ROOT))
        ]
        for model in chosen.models:
            _compare(model, sides, checkpoints, chosen)


def _rows(names: Sequence[str], checkout: Path = ROOT) -> list[dict[str, Any]]:
    """Return rows for some models, real ones as a checkout has them."""
    fakes = [
        {"name": n, "family": "fake", "parameters": dict(FAKES[n])} for n in names if n in FAKES
    ]
    return [*fakes, *real_rows([name for name in names if name in CASES], checkout)]


def _task(model: str) -> Task:
    return CASES[model].task if model in CASES else CAPTION


def _spec(name: str) -> ModelSpec:
    return ModelSpec.model_validate(_rows([name])[0])


@contextlib.contextmanager
def _running(
    checkout: Path, folder: Path, checkpoints: Path, models: Sequence[str]
) -> Iterator[Side]:
    folder.mkdir()
    catalog = folder / "models.yaml"
    catalog.write_text(yaml.safe_dump({"models": _rows(models, checkout)}))
    settings = {
        "VISION_MODELS": models[0],
        "VISION_MODELS_DIR": str(checkpoints),
        "VISION_TIMEOUT": "590",
        **ALL_CORES,
    }
    own = checkout.resolve() / ".venv/bin/python"
    python = str(own) if own.exists() else sys.executable
    argv = [python, "-c", _STACK, str(folder), str(catalog), json.dumps(settings), *models]
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
    model: str, sides: Sequence[Side], checkpoints: Path, chosen: argparse.Namespace
) -> None:
    spec = _spec(model)
    in_process = bare(spec, checkpoints / model if spec.source else None, _task(model), 0)
    for side in sides:
        _measure(side, model, max(chosen.clients), WARM_UP_S)
    bare_s: list[float] = []
    found: dict[tuple[int, Side], list[Figures]] = {}
    for _ in range(chosen.rounds):
        bare_s += _called(partial(in_process, 1))
        for count in chosen.clients:
            for side in sides:
                figures = _measure(side, model, count, chosen.seconds)
                found.setdefault((count, side), []).append(figures)
    bare_ms = 1000 * statistics.median(bare_s)
    about = f" ({dict(FAKES[model])})" if model in FAKES else ""
    print(f"\n{model}{about}, in-process {bare_ms:.1f} ms\n")
    figures_of = ["p50 ms", "p99 ms", "p99/p50", "requests/s", "CPU ms", *ROLES]
    print_row(["clients", "checkout", *figures_of])
    print_row(["---"] * (2 + len(figures_of)))
    for (count, side), each in sorted(found.items(), key=lambda item: item[0][0]):
        p50, p99, rate, cpu_ms = (
            statistics.median(values)
            for values in zip(*((*one[:3], sum(one.cpu_ms.values())) for one in each), strict=True)
        )
        by_process = [statistics.median(one.cpu_ms[role] for one in each) for role in ROLES]
        cells = [f"{p50:.1f}", f"{p99:.1f}", f"{p99 / p50:.2f}", f"{rate:.3g}"]
        cells += [f"{cpu_ms:.1f}", *(f"{ms:.2f}" for ms in by_process)]
        print_row([count, side.name, *cells])


def _called(call: Callable[[], None]) -> list[float]:
    """Return the seconds of several calls."""
    times_s: list[float] = []
    while len(times_s) < BARE_CALLS and sum(times_s) < BARE_S:
        times_s.append(seconds(call))
    return times_s


def _measure(side: Side, model: str, clients: int, seconds_each: float) -> Figures:
    client, began = Client(side.base, model, _task(model)), side.cpu_s()
    load = client.load(seconds_each, clients)
    cpu_ms = {
        role: 1000 * (s - began[role]) / len(load.latencies_s) for role, s in side.cpu_s().items()
    }
    p50, p99 = (1000 * percentile(load.latencies_s, percent) for percent in (50, 99))
    return Figures(p50, p99, load.per_s, cpu_ms)


if __name__ == "__main__":
    main()
