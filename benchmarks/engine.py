"""Measure the engine at real size: the whole stack against the bare model, interleaved in one run.

Bare (a) is what a simple service does: transformers in float32, one image after the other. Bare (b)
is our model, in the dtype that it picks here, at the batch size that is fastest. The stack runs the
same with the options of ``models.yaml``. Weights are random; texts are 16 tokens long. Bare models
live in a process of their own and run while the stack idles.

Prints Markdown for ``docs/benchmarks.md``.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from benchmarks.measuring import PHOTO, Client, bare, machine, percentile, seconds
from shared.catalog import Catalog
from shared.images import decode_rgb
from shared.model_spec import ModelSpec
from shared.settings import ROOT
from shared.tasks import CAPTION, LABELS
from shared.tasks.registry import Task
from shared.vocabulary import WorkerState
from tests.stack import Stack, end, running_stack

CLIENTS = (4, 8, 16, 64)
"""Beside one client, which takes turns with the bare model."""
TOKENS = 16
LONG_S = 90.0
"""A cell that takes longer is measured in the first round only."""
LOAD_S = 400.0


class Case(NamedTuple):
    """A model, and which batch sizes the bare one is tried at."""

    task: Task
    batches: tuple[int, ...]


CASES = {
    "efficientnet-lite0": Case(LABELS, (1, 2, 4, 8, 16)),
    "vit-gpt2": Case(CAPTION, (1, 2, 4, 8, 16)),
    "blip": Case(CAPTION, (1, 2, 4)),
    "kosmos-2": Case(CAPTION, (1, 2, 4, 8)),
}


class Effort(NamedTuple):
    """How long to measure."""

    rounds: int
    cell_s: float
    """About how long a cell shall take; one image for each client is the least."""


@dataclass
class Figures:
    """What was measured of one model; one value a round unless said otherwise."""

    today: list[float] = field(default_factory=list)
    """Seconds an image, each call."""
    batches: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Seconds an image, by batch size."""
    one_client: list[float] = field(default_factory=list)
    """Seconds a request, each request."""
    beside: list[float] = field(default_factory=list)
    """Seconds an image of the bare model, each taken right before one of ``one_client``."""
    rates: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Images a second by number of clients."""

    def best_batch(self) -> int:
        """Return the batch size that is fastest for the bare model."""
        return min(self.batches, key=lambda size: statistics.median(self.batches[size]))

    def best(self) -> float:
        """Return images per second of the bare model at its best."""
        return 1 / statistics.median(self.batches[self.best_batch()])

    def stack(self) -> dict[int, float]:
        """Return images per second of the stack by number of clients."""
        loaded = {clients: statistics.median(rates) for clients, rates in self.rates.items()}
        return {1: 1 / statistics.median(self.one_client), **loaded}


def main() -> None:
    """Measure all models and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", default=",".join(CASES), help="separated by commas")
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--checkpoints", type=Path, help="where to keep them (default: nowhere)")
    options = parser.parse_args()
    effort = Effort(1, 3.0) if options.quick else Effort(3, 15.0)
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
            VISION_TORCH_THREADS="0",
            OMP_NUM_THREADS=str(os.cpu_count()),  # as torch itself decides; tests use one
            VISION_TIMEOUT="590",
            VISION_REQUEST_SLOTS=str(max(CLIENTS)),
        ) as stack:
            stack.catalog = Catalog.load(catalog)
            base = stack.api()
            for name in options.models.split(","):
                results[name] = measure(stack, base, stack.catalog.get(name), checkpoints, effort)
    print_tables(results)
    print(f"\nEnded {machine()}.")


def write_catalog(path: Path) -> Path:
    """Write the rows that are measured, as in ``models.yaml`` but for the length of texts."""
    rows = yaml.safe_load((ROOT / "models.yaml").read_text())["models"]
    rows = [row for row in rows if row["name"] in CASES]
    for row in rows:
        if "source" in row:
            row["folder"] = row["name"]
            row["parameters"] = {**row.get("parameters", {}), "max_new_tokens": TOKENS}
    path.write_text(yaml.safe_dump({"models": rows}))
    return path


def measure(stack: Stack, base: str, spec: ModelSpec, checkpoints: Path, effort: Effort) -> Figures:
    """Measure one model in interleaved rounds; nothing else of it runs before or afterwards."""
    case = CASES[spec.name]
    if spec.source and not (checkpoints / spec.name).exists():
        argv = [
            *(sys.executable, "-m", "tools.full_checkpoints"),
            *("--out", str(checkpoints), "--model", spec.name),
        ]
        subprocess.run(argv, cwd=ROOT, check=True, stdout=sys.stderr)
    figures, client = Figures(), Client(base, spec.name, case.task)
    with served(stack, spec.name), bare_process(spec, checkpoints, case.task) as near:
        for call in (near.today, near.ours, client):  # the first of each is slow
            call()
        image_s = near.ours()  # about; decides how often
        for _ in range(effort.rounds):
            _round(figures, client, near, case, effort.cell_s, image_s)
            print(f"{spec.name}: {figures}", file=sys.stderr)
    return figures


def _round(
    figures: Figures, client: Client, near: "Near", case: Case, cell_s: float, image_s: float
) -> None:
    """Measure every cell once; ``image_s`` is about how long one image takes."""
    for _ in range(max(1, round(cell_s / 5 / image_s))):
        figures.today.append(near.today())
    for size in case.batches:
        for _ in range(max(1, round(cell_s / 5 / image_s / size))):
            figures.batches[size].append(near.ours(size) / size)
    for _ in range(max(3, round(cell_s / 3 / image_s))):
        figures.beside.append(near.ours())
        figures.one_client.append(seconds(client))
    for clients in CLIENTS:
        if figures.rates[clients] and clients * image_s > LONG_S:
            continue
        rounds = max(1, round(cell_s / image_s / clients))
        figures.rates[clients].append(client.rate(clients, rounds * clients))


@contextlib.contextmanager
def served(stack: Stack, name: str) -> Iterator[None]:
    """Have one worker serve the model."""
    worker = stack.another_worker(name)
    try:
        stack.wait_ready(name, timeout_s=LOAD_S)
        status = stack.presence(name).workers[0]
        if status.state == WorkerState.FAILED:
            sys.exit(f"{name}: {status.reason}")
        yield
    finally:
        end(worker)


class Near(NamedTuple):
    """Calls of the bare models; each returns how many seconds it took."""

    today: Callable[[], float]
    """One image as a simple service does it."""
    ours: Callable[..., float]
    """A number of images, by default 1, as one batch."""


@contextlib.contextmanager
def bare_process(spec: ModelSpec, checkpoints: Path, task: Task) -> Iterator[Near]:
    """Load the bare models in a process of their own."""
    arguments = (spec, checkpoints / spec.name if spec.source else None, task)
    with ProcessPoolExecutor(1, get_context("spawn"), _load, arguments) as pool:

        def ours(photos: int = 1) -> float:
            future: Future[float] = pool.submit(_time, "ours", photos)
            return future.result()

        def today() -> float:
            return pool.submit(_time, "today").result()

        yield Near(today, ours)


_calls: dict[str, Callable[..., None]] = {}
"""In the process of the bare models."""


def _load(spec: ModelSpec, folder: Path | None, task: Task) -> None:
    _calls["ours"] = bare(spec, folder, task, 0)
    _calls["today"] = simple_captioner(folder) if folder else _calls["ours"]


def _time(name: str, *arguments: int) -> float:
    return seconds(lambda: _calls[name](*arguments))


def simple_captioner(folder: Path) -> Callable[[], None]:
    """Return a call that captions one photo in float32, with transformers as it comes.

    vit-gpt2 searches with 4 beams, as in the service of 2024.
    """
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor, AutoTokenizer
    from transformers.models.auto import AutoImageProcessor
    from transformers.utils import logging

    quiet: Any = logging.disable_progress_bar
    quiet()
    loader: Any = AutoModelForImageTextToText
    model = loader.from_pretrained(folder, dtype=torch.float32, local_files_only=True).eval()
    beams = 4 if model.config.model_type == "vision-encoder-decoder" else 1
    processor: Any = AutoProcessor
    if model.config.model_type != "kosmos-2":
        processor = AutoImageProcessor
    processor = processor.from_pretrained(folder, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    photo = PHOTO.read_bytes()
    prompt = {"text": "<grounding>An image of"} if model.config.model_type == "kosmos-2" else {}

    @torch.no_grad()
    def call() -> None:
        inputs = processor(images=decode_rgb(photo), return_tensors="pt", **prompt)
        tokens = model.generate(**inputs, max_new_tokens=TOKENS, num_beams=beams, do_sample=False)
        tokenizer.batch_decode(tokens, skip_special_tokens=True)

    return call


def print_tables(results: dict[str, Figures]) -> None:
    """Print images per second, and how they compare with the targets."""
    heads = ["model", "(a) fp32, one by one", "(b) best batch", "(b) 1 at a time"]
    print_row([*heads, *(f"{n} client{'s' * (n > 1)}" for n in (1, *CLIENTS))])
    print_row(["---"] * (len(heads) + 1 + len(CLIENTS)))
    for name, figures in results.items():
        bares = [1 / statistics.median(figures.today), figures.best()]
        single = 1 / statistics.median(figures.batches[1])
        print_row(
            [
                name,
                f"{bares[0]:.2f}",
                f"{bares[1]:.2f} (at {figures.best_batch()})",
                f"{single:.2f}",
                *(f"{rate:.2f}" for rate in figures.stack().values()),
            ]
        )
    print()
    print_row(["model", "16, 64 clients / (b)", "1, 16 clients / (a)", "added to one client, ms"])
    print_row(["---"] * 4)
    for name, figures in results.items():
        stack, today = figures.stack(), 1 / statistics.median(figures.today)
        added = [1000 * (b - a) for a, b in zip(figures.beside, figures.one_client, strict=True)]
        quarter, middle, three = (percentile(added, n) for n in (25, 50, 75))
        print_row(
            [
                name,
                f"{stack[16] / figures.best():.2f}, {stack[64] / figures.best():.2f}",
                f"{stack[1] / today:.1f}, {stack[16] / today:.1f}",
                f"{middle:.0f} ({quarter:.0f} … {three:.0f})",
            ]
        )


def print_row(cells: list[str]) -> None:
    """Print a row of a table."""
    print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
