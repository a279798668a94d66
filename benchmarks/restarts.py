"""Measure how soon a model is ready again after its process was killed, with real torch processes.

The first start of a worker imports torch, transformers and the family, as each start did before
there was a fork server. Later ones fork a process that has imported them.
"""

import statistics
import time
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.measuring import print_row
from shared.catalog import Catalog
from shared.settings import Settings
from tests.engines import running_row
from tests.stack import TESTS, wait_for
from workers.engine.local import LocalEngine

CHECKPOINTS = TESTS / "checkpoints"
TINY = ("vit-gpt2", "blip", "kosmos-2")
FULL_SIZE = ("efficientnet-lite0",)
"""Its weights come in a Python package."""
KILLS = 5
WAIT_S = 300
MIB = 2**20


class Restarts(NamedTuple):
    """Seconds until a model was ready, and MiB that processes have to themselves."""

    first_s: float
    again_s: list[float]
    server_mib: float
    model_mib: float


def restart_table(checkpoints: Path | None = None) -> None:
    """Print how long starts take; ``checkpoints``: a folder with models of full size."""
    print_row(
        [
            "model",
            "first start, s",
            "after a kill, s: median (range)",
            "fork server, MiB",
            "model, MiB",
        ]
    )
    print_row(["---"] * 5)
    for name in TINY:
        _print(f"{name}, tiny", measure(name, CHECKPOINTS))
    for name in FULL_SIZE:
        _print(name, measure(name, CHECKPOINTS))
    for folder in sorted(checkpoints.iterdir()) if checkpoints else ():
        _print(f"{folder.name}, full size", measure(folder.name, folder.parent))
    print()


def measure(name: str, models_dir: Path) -> Restarts:
    """Start a model of the catalogue, then kill its process a few times."""
    row = Catalog.load(Settings().catalog).get(name).model_dump(exclude_unset=True)
    settings = Settings(models_dir=models_dir, device="cpu", load_timeout_s=WAIT_S)
    began = time.perf_counter()
    with running_row({**row, "folder": name}, settings) as engine:
        pid = _ready(engine, 0)
        first_s = time.perf_counter() - began
        again_s = []
        for _ in range(KILLS):
            began = time.perf_counter()
            psutil.Process(pid).kill()
            pid = _ready(engine, pid)
            again_s.append(time.perf_counter() - began)
        model = psutil.Process(pid)
        return Restarts(first_s, again_s, _own(model.parent()), _own(model))


def _ready(engine: LocalEngine, killed: int) -> int:
    """Wait for a process other than ``killed`` to be ready; return its id."""

    def up() -> int | None:
        status = engine.status
        return status.model_pid if status.state.is_up and status.model_pid != killed else None

    return wait_for("the model", up, WAIT_S)


def _own(process: psutil.Process | None) -> float:
    return process.memory_full_info().uss / MIB if process else 0.0


def _print(what: str, found: Restarts) -> None:
    median, least, most = statistics.median(found.again_s), min(found.again_s), max(found.again_s)
    again = f"{median:.2f} ({least:.2f} … {most:.2f})"
    print_row(
        [what, f"{found.first_s:.1f}", again, f"{found.server_mib:.0f}", f"{found.model_mib:.0f}"]
    )
