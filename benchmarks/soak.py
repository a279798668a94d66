"""Soak test: steady load on a model that leaks, slows down, and sometimes crashes or hangs.

One model with recycling and one without run at the same time. Only requests with a deadly image may
fail. With recycling memory must stay bounded, and latency as well, if the run is long enough to
measure it. Prints a table, and plots both over time.
"""

import argparse
import itertools
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
import yaml

from shared.catalog import Catalog
from tests.conftest import data_url, plain
from tests.stack import API, Stack, running_stack

CLIENTS = 4
DEADLY_REDS = {"crash": 250, "hang": 251}
"""Values of the red channel that end the process."""
PARAMETERS = {
    "predict_s": 0.02,
    "image_s": 0.005,
    "slower": 0.002,
    "leak_mb": 0.5,
    "crash_on_red": DEADLY_REDS["crash"],
    "hang_on_red": DEADLY_REDS["hang"],
}
COMMON = {"max_batch": 4, "batch_timeout_s": 5, "quarantine_s": 1}
GROWTH_MB, QUICK_GROWTH_MB = 150, 30
"""``recycle_growth_mb``; in a run of a few seconds a process grows by no more."""
LONG_S = 60.0
"""Runs at least this long judge latency, and use the larger growth."""
TOLERANCE = 2
"""Largest ratio of the last latency to the first, and of growth to ``recycle_growth_mb``."""


@dataclass
class History:
    """What happened to one model; times are seconds since the beginning."""

    latencies: list[tuple[float, float]] = field(default_factory=list)
    """Time and latency of successful requests, in seconds."""
    memory: list[tuple[float, float]] = field(default_factory=list)
    """Time in seconds, and megabytes."""
    refused: int = 0
    """Requests with a deadly image that got an error, as they should."""
    failed: list[str] = field(default_factory=list)
    """Errors of other requests."""
    recycles: dict[str, int] = field(default_factory=dict)

    def p50_ms(self) -> tuple[float, float]:
        """Return the median latency of the first and of the last fifth, in ms."""
        fifth = max(1, len(self.latencies) // 5)
        times = [1000 * seconds for _, seconds in sorted(self.latencies)]
        return statistics.median(times[:fifth]), statistics.median(times[-fifth:])


def main() -> int:
    """Run the soak test; returns 0 if it passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument(
        "--plot", type=Path, help="file for a plot of latency and memory (.svg, .png)"
    )
    options = parser.parse_args()
    growth_mb = GROWTH_MB if options.seconds >= LONG_S else QUICK_GROWTH_MB
    with tempfile.TemporaryDirectory() as folder:
        catalog = Path(folder) / "models.yaml"
        rows = [
            {"name": name, "family": "fake", "parameters": PARAMETERS, "engine": engine}
            for name, engine in engines(growth_mb).items()
        ]
        catalog.write_text(yaml.safe_dump({"models": rows}))
        with running_stack(Path(folder), VISION_CATALOG=str(catalog)) as stack:
            stack.catalog = Catalog.load(catalog)
            histories = soak(stack, options.seconds)
    print_table(histories)
    if options.plot:
        plot(histories, options.plot)
    faults = [f"{name}: {why}" for name, history in histories.items() for why in history.failed[:5]]
    faults += complaints(histories, growth_mb, options.seconds)
    print("\n".join(faults), file=sys.stderr)
    return 1 if faults else 0


def engines(growth_mb: float) -> dict[str, dict[str, Any]]:
    """Return the engine options by model: with recycling, and without."""
    wear = {"recycle_growth_mb": growth_mb, "slow_factor": 2, "slow_batches": 10}
    return {
        "recycled": {**COMMON, **wear},
        "unrecycled": {**COMMON, "recycle_growth_mb": 0, "slow_factor": 0},
    }


def complaints(histories: dict[str, History], growth_mb: float, seconds: float) -> list[str]:
    """Return what is wrong beside failed requests, as sentences."""
    faults = [
        f"{name}: {history.refused} deadly images were refused, not {len(DEADLY_REDS)}"
        for name, history in histories.items()
        if history.refused != len(DEADLY_REDS)
    ]
    recycled = histories["recycled"]
    memory = [mb for _, mb in recycled.memory if mb]
    if "memory" not in recycled.recycles:
        faults.append("recycled: no process was replaced for its memory")
    if max(memory) - min(memory) > TOLERANCE * growth_mb:
        faults.append(f"recycled: memory went from {min(memory)} to {max(memory)} MB")
    first, last = recycled.p50_ms()
    if seconds >= LONG_S and last > TOLERANCE * first:
        faults.append(f"recycled: the median latency went from {first:.0f} to {last:.0f} ms")
    return faults


def soak(stack: Stack, seconds: float) -> dict[str, History]:
    """Load both models at the same time and return their histories."""
    names = [spec.name for spec in stack.catalog.models]
    base = stack.api(VISION_MODELS=",".join(names)) + API
    histories = {name: History() for name in names}
    for name in names:
        stack.worker(name)
    begun = time.monotonic()
    threads = [
        threading.Thread(target=load, args=(base, name, histories[name], begun, seconds, n))
        for name in names
        for n in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        for name, history in histories.items():
            for worker in stack.presence(name).workers:
                history.memory.append((time.monotonic() - begun, worker.memory_mb))
                history.recycles = worker.recycles
        time.sleep(0.5)
    return histories


def load(base: str, name: str, history: History, begun: float, seconds: float, client: int) -> None:
    """Send one image after the other; client 0 sends a deadly one after each third of the time."""
    session = requests.Session()
    deadly = list(DEADLY_REDS.values()) if client == 0 else []
    for n in itertools.count():
        now = time.monotonic() - begun
        if now > seconds:
            return
        red = n % 200
        if deadly and now > seconds * (len(DEADLY_REDS) + 1 - len(deadly)) / (len(DEADLY_REDS) + 1):
            red = deadly.pop(0)
        body = {"images": [data_url(plain(red, client))]}
        try:
            reply = session.post(f"{base}/caption/{name}", json=body, timeout=120)
        except requests.RequestException as err:
            history.failed.append(repr(err))
            continue
        if red in DEADLY_REDS.values():
            history.refused += reply.status_code != requests.codes.ok
        elif reply.status_code != requests.codes.ok:
            history.failed.append(f"{reply.status_code} {reply.text}")
        else:
            history.latencies.append((now, time.monotonic() - begun - now))


def print_table(histories: dict[str, History]) -> None:
    """Print the histories as a Markdown table."""
    print(
        "| | requests | failed | deadly, refused | p50 first / last fifth ms | "
        "memory last / most MB | processes replaced |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, history in histories.items():
        first, last = history.p50_ms()
        memory = [mb for _, mb in history.memory]
        why = ", ".join(f"{n} {why}" for why, n in sorted(history.recycles.items())) or "none"
        print(
            f"| {name} | {len(history.latencies)} | {len(history.failed)} | {history.refused} | "
            f"{first:.0f} / {last:.0f} | {memory[-1]:.0f} / {max(memory):.0f} | {why} |"
        )


def plot(histories: dict[str, History], path: Path) -> None:
    """Plot latency and memory over time."""
    import matplotlib.pyplot as plt

    figure, (upper, lower) = plt.subplots(2, 1, sharex=True, figsize=(9, 6))
    for name, history in histories.items():
        times = sorted(history.latencies)
        upper.plot([t for t, _ in times], [1000 * s for _, s in times], ".", ms=2, label=name)
        lower.plot([t for t, _ in history.memory], [mb for _, mb in history.memory], label=name)
    upper.set(ylabel="latency, ms", yscale="log")
    lower.set(ylabel="memory of the model process, MB", xlabel="seconds")
    for panel in (upper, lower):
        panel.grid(alpha=0.3)
        panel.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    sys.exit(main())
