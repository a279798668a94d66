"""Measure the engine at real size: the whole stack against bare models, interleaved in one run.

Bare model (a) is a simple service: transformers in float32, one image after the other. Bare model
(b) is ours, in the dtype that it chooses here, at its fastest batch size. The stack runs the same
model with the options of ``models.yaml``. Weights are random, and texts are 16 tokens long. Bare
models run in a process of their own while the stack is idle.

Prints Markdown for ``docs/benchmarks.md``.
"""

import argparse
import contextlib
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from benchmarks.bare_process import TOKENS, BareModels, bare_process
from benchmarks.measuring import (
    ALL_CORES,
    Client,
    ensure_checkpoint,
    machine,
    percentile,
    print_row,
    seconds,
)
from shared.catalog import Catalog
from shared.model_spec import ModelSpec
from shared.settings import ROOT
from shared.tasks import CAPTION, LABELS
from shared.tasks.registry import Task
from shared.vocabulary import WorkerState
from tests.stack import Stack, end, running_stack

CLIENTS = (4, 8, 16, 64)
"""Numbers of clients, beside a single one that takes turns with the bare model."""
MANY = 16
"""With so many clients or more batches are full, and the stack is compared with the best batch."""
REQUESTS = 3
"""Of each client in a cell at least: the first batches and the last are not full."""
LONG_S = 90.0
"""Cells that take longer are measured in the first round only."""
LOAD_TIMEOUT_S = 400.0


class Case(NamedTuple):
    """The task of a model, and the batch sizes of bare model (b)."""

    task: Task
    batches: tuple[int, ...]
    row: str = ""
    """Name of the row of ``models.yaml``, where it is not the model's."""


CASES = {
    "efficientnet-lite0": Case(LABELS, (1, 2, 4, 8, 16)),
    "vit-gpt2": Case(CAPTION, (1, 2, 4, 8, 16)),
    "blip": Case(CAPTION, (1, 2, 4)),
    "kosmos-2": Case(CAPTION, (1, 2, 4, 8)),
    "florence2-base": Case(CAPTION, (1, 2, 4)),
    "smolvlm2-256m": Case(CAPTION, (1, 2, 4, 8), "smolvlm2"),
    "smolvlm2": Case(CAPTION, (1, 2, 4, 8)),
    "qwen3-vl-2b-cut": Case(CAPTION, (1, 2, 4), "qwen3-vl-2b"),
}
"""By name of the checkpoint. The last one has four layers of 28, and its vision tower four of 24,
because all of them take minutes for a batch on two cores."""


class Effort(NamedTuple):
    """How much to measure."""

    rounds: int
    cell_s: float
    """Approximate length of a cell, which may take longer where a model is slow."""
    clients: tuple[int, ...]
    """Numbers of clients of the stack, beside a single one."""


@dataclass
class Figures:
    """The measurements of one model."""

    simple: list[float] = field(default_factory=list)
    """Seconds of each image with bare model (a)."""
    batches: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Seconds per image with bare model (b), of each batch, by batch size."""
    one_client: list[float] = field(default_factory=list)
    """Seconds of each request to the stack by a single client."""
    paired: list[float] = field(default_factory=list)
    """Seconds of each image with bare model (b), right before a request of ``one_client``."""
    rates: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Images per second with the stack, of each round, by number of clients."""

    def best_batch(self) -> int:
        """Return the fastest batch size of bare model (b)."""
        return min(self.batches, key=lambda size: statistics.median(self.batches[size]))

    def best(self) -> float:
        """Return the images per second of bare model (b) at this size."""
        return 1 / statistics.median(self.batches[self.best_batch()])

    def stack(self) -> dict[int, float]:
        """Return the images per second of the stack by number of clients."""
        loaded = {clients: statistics.median(rates) for clients, rates in self.rates.items()}
        return {1: 1 / statistics.median(self.one_client), **loaded}


def main() -> None:
    """Measure all models and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", default=",".join(CASES), help="separated by commas")
    parser.add_argument("--quick", action="store_true", help="one short round")
    numbers = ",".join(map(str, CLIENTS))
    parser.add_argument("--clients", default=numbers, help="how many, beside a single one")
    parser.add_argument("--checkpoints", type=Path, help="folder to keep them in (default: none)")
    options = parser.parse_args()
    clients = tuple(map(int, options.clients.split(",")))
    effort = Effort(1, 3.0, clients) if options.quick else Effort(3, 15.0, clients)
    print(f"Begun {machine()}.\n")
    results = {}
    with tempfile.TemporaryDirectory() as scratch:
        checkpoints = options.checkpoints or Path(scratch)
        catalog = write_catalog(Path(scratch) / "models.yaml")
        with running_stack(
            Path(scratch),
            VISION_CATALOG=str(catalog),
            VISION_MODELS=options.models,
            VISION_MODELS_DIR=str(checkpoints),
            VISION_TIMEOUT="590",
            VISION_REQUEST_SLOTS=str(max(clients)),
            **ALL_CORES,
        ) as stack:
            stack.catalog = Catalog.load(catalog)
            base = stack.api()
            for name in options.models.split(","):
                results[name] = measure(stack, base, stack.catalog.get(name), checkpoints, effort)
    print_tables(results, clients)
    print(f"\nEnded {machine()}.")


def write_catalog(path: Path) -> Path:
    """Write a catalogue of the measured models."""
    path.write_text(yaml.safe_dump({"models": real_rows(CASES)}))
    return path


def real_rows(names: Iterable[str], checkout: Path = ROOT) -> list[dict[str, Any]]:
    """Return rows of a checkout's ``models.yaml`` for some of :data:`CASES`, with short texts."""
    published = yaml.safe_load((checkout / "models.yaml").read_text())["models"]
    by_name = {row["name"]: row for row in published}
    rows = [{**by_name[CASES[name].row or name], "name": name} for name in names]
    for row in rows:
        row.pop("aliases", None)
        if "source" in row:
            row["folder"] = row["name"]
            row["parameters"] = {**row.get("parameters", {}), "max_new_tokens": TOKENS}
    return rows


def measure(stack: Stack, base: str, spec: ModelSpec, checkpoints: Path, effort: Effort) -> Figures:
    """Measure one model in interleaved rounds; its processes run only during this call."""
    case = CASES[spec.name]
    if spec.source:
        ensure_checkpoint(spec.name, checkpoints)
    figures, client = Figures(), Client(base, spec.name, case.task)
    with served(stack, spec.name), bare_process(spec, checkpoints, case.task) as bare:
        for call in (bare.simple, bare.batched, client):  # the first call of each is slow
            call()
        image_s = bare.batched()  # an estimate, from which numbers of calls follow
        for _ in range(effort.rounds):
            _round(figures, client, bare, case, effort, image_s)
            print(f"{spec.name}: {figures}", file=sys.stderr)
    return figures


def _round(
    figures: Figures,
    client: Client,
    bare: BareModels,
    case: Case,
    effort: Effort,
    image_s: float,
) -> None:
    """Measure every cell once.

    Args:
        figures: gets the measurements.
        client: of the stack.
        bare: the bare models.
        case: of the model.
        effort: says how much.
        image_s: an estimate of the seconds per image.
    """
    for _ in range(max(1, round(effort.cell_s / 5 / image_s))):
        figures.simple.append(bare.simple())
    for size in case.batches:
        for _ in range(max(1, round(effort.cell_s / 5 / image_s / size))):
            figures.batches[size].append(bare.batched(size) / size)
    for _ in range(max(3, round(effort.cell_s / 3 / image_s))):
        figures.paired.append(bare.batched())
        figures.one_client.append(seconds(client))
    for clients in effort.clients:
        if figures.rates[clients] and REQUESTS * clients * image_s > LONG_S:
            continue
        rounds = max(REQUESTS, round(effort.cell_s / image_s / clients))
        figures.rates[clients].append(client.rate(clients, rounds * clients))


@contextlib.contextmanager
def served(stack: Stack, name: str) -> Iterator[None]:
    """Run one worker of the model."""
    worker = stack.another_worker(name)
    try:
        stack.wait_ready(name, timeout_s=LOAD_TIMEOUT_S)
        status = stack.presence(name).workers[0]
        if status.state == WorkerState.FAILED:
            sys.exit(f"{name}: {status.reason}")
        yield
    finally:
        end(worker)


def print_tables(results: dict[str, Figures], clients: tuple[int, ...]) -> None:
    """Print the images per second, and how the stack compares with the bare models."""
    most = [number for number in clients if number >= MANY] or [max(clients)]
    heads = ["model", "(a) fp32, one by one", "(b) best batch", "(b) 1 at a time"]
    print_row([*heads, *(f"{n} client{'s' * (n > 1)}" for n in (1, *clients))])
    print_row(["---"] * (len(heads) + 1 + len(clients)))
    for name, figures in results.items():
        bare = [1 / statistics.median(figures.simple), figures.best()]
        single = 1 / statistics.median(figures.batches[1])
        print_row(
            [
                name,
                f"{bare[0]:.2f}",
                f"{bare[1]:.2f} (at {figures.best_batch()})",
                f"{single:.2f}",
                *(f"{rate:.2f}" for rate in figures.stack().values()),
            ]
        )
    print()
    shares = ", ".join(map(str, most))
    print_row(
        [
            "model",
            f"{shares} clients / (b)",
            f"1, {most[0]} clients / (a)",
            "added to one client, ms",
        ]
    )
    print_row(["---"] * 4)
    for name, figures in results.items():
        stack, simple = figures.stack(), 1 / statistics.median(figures.simple)
        added = [1000 * (b - a) for a, b in zip(figures.paired, figures.one_client, strict=True)]
        quarter, middle, three = (percentile(added, n) for n in (25, 50, 75))
        print_row(
            [
                name,
                ", ".join(f"{stack[number] / figures.best():.2f}" for number in most),
                f"{stack[1] / simple:.1f}, {stack[most[0]] / simple:.1f}",
                f"{middle:.0f} ({quarter:.0f} … {three:.0f})",
            ]
        )


if __name__ == "__main__":
    main()
