"""Soak: a model that leaks, slows down, and now and then crashes or hangs, under steady load.

Once with recycling, once without. No request may fail but those with deadly images; with recycling
memory must stay flat, and so must latency where the run is long enough to tell. Prints a table, and
draws both over time.
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
DEADLY = {"crash": 250, "hang": 251}
"""Value of the red channel that ends the process; the fake model's knobs say so."""
KNOBS = {
    "predict_s": 0.02,
    "image_s": 0.005,
    "slower": 0.002,
    "leak_mb": 0.5,
    "crash_on_red": DEADLY["crash"],
    "hang_on_red": DEADLY["hang"],
}
COMMON = {"max_batch": 4, "batch_timeout_s": 5, "quarantine_s": 1}
GROWTH_MB, QUICK_GROWTH_MB = 150, 30
"""What a process may grow by; in a run of seconds it has no time for more."""
LONG_S = 60.0
SETTLED = 2
"""Times its first latency that the last may be, and its limit that memory may grow by."""


@dataclass
class Course:
    """What happened to one model: times are seconds since the beginning."""

    latencies: list[tuple[float, float]] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)
    refused: int = 0
    failed: list[str] = field(default_factory=list)
    recycles: dict[str, int] = field(default_factory=dict)

    def p50_ms(self) -> tuple[float, float]:
        """Return the median latency of the first and of the last fifth, in ms."""
        fifth = max(1, len(self.latencies) // 5)
        times = [1000 * seconds for _, seconds in sorted(self.latencies)]
        return statistics.median(times[:fifth]), statistics.median(times[-fifth:])


def main() -> int:
    """Soak; the exit status is 0 when nothing failed that should not have."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--plot", type=Path, help="where to draw latency and memory (.svg, .png)")
    options = parser.parse_args()
    growth_mb = GROWTH_MB if options.seconds >= LONG_S else QUICK_GROWTH_MB
    with tempfile.TemporaryDirectory() as folder:
        catalog = Path(folder) / "models.yaml"
        rows = [
            {"name": name, "family": "fake", "parameters": KNOBS, "engine": engine}
            for name, engine in engines(growth_mb).items()
        ]
        catalog.write_text(yaml.safe_dump({"models": rows}))
        with running_stack(Path(folder), VISION_CATALOG=str(catalog)) as stack:
            stack.catalog = Catalog.load(catalog)
            courses = soak(stack, options.seconds)
    print_table(courses)
    if options.plot:
        draw(courses, options.plot)
    faults = [f"{name}: {why}" for name, it in courses.items() for why in it.failed[:5]]
    faults += complaints(courses, growth_mb, options.seconds)
    print("\n".join(faults), file=sys.stderr)
    return 1 if faults else 0


def engines(growth_mb: float) -> dict[str, dict[str, Any]]:
    """Return the engine's options, with recycling and without."""
    wear = {"recycle_growth_mb": growth_mb, "slow_factor": 2, "slow_batches": 10}
    return {
        "recycled": {**COMMON, **wear},
        "left": {**COMMON, "recycle_growth_mb": 0, "slow_factor": 0},
    }


def complaints(courses: dict[str, Course], growth_mb: float, seconds: float) -> list[str]:
    """Say what is not as it should be, beside failed requests."""
    faults = [
        f"{name}: {it.refused} deadly images were refused, not {len(DEADLY)}"
        for name, it in courses.items()
        if it.refused != len(DEADLY)
    ]
    recycled = courses["recycled"]
    memory = [mb for _, mb in recycled.memory if mb]
    if "memory" not in recycled.recycles:
        faults.append("recycled: no process was replaced for its memory")
    if max(memory) - min(memory) > SETTLED * growth_mb:
        faults.append(f"recycled: memory went from {min(memory)} to {max(memory)} MB")
    first, last = recycled.p50_ms()
    if seconds >= LONG_S and last > SETTLED * first:
        faults.append(f"recycled: the median latency went from {first:.0f} to {last:.0f} ms")
    return faults


def soak(stack: Stack, seconds: float) -> dict[str, Course]:
    """Load both models at the same time and return what happened."""
    names = [spec.name for spec in stack.catalog.models]
    base = stack.api(VISION_MODELS=",".join(names)) + API
    courses = {name: Course() for name in names}
    for name in names:
        stack.worker(name)
    begun = time.monotonic()
    threads = [
        threading.Thread(target=load, args=(base, name, courses[name], begun, seconds, n))
        for name in names
        for n in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        for name, course in courses.items():
            for worker in stack.presence(name).workers:
                course.memory.append((time.monotonic() - begun, worker.memory_mb))
                course.recycles = worker.recycles
        time.sleep(0.5)
    return courses


def load(base: str, name: str, course: Course, begun: float, seconds: float, client: int) -> None:
    """Ask one photo after the other; client 0 sends a deadly one after each third of the time."""
    session = requests.Session()
    deadly = list(DEADLY.values()) if client == 0 else []
    for n in itertools.count():
        now = time.monotonic() - begun
        if now > seconds:
            return
        red = n % 200
        if deadly and now > seconds * (len(DEADLY) + 1 - len(deadly)) / (len(DEADLY) + 1):
            red = deadly.pop(0)
        body = {"images": [data_url(plain(red, client))]}
        try:
            reply = session.post(f"{base}/caption/{name}", json=body, timeout=120)
        except requests.RequestException as err:
            course.failed.append(repr(err))
            continue
        if red in DEADLY.values():
            course.refused += reply.status_code != requests.codes.ok
        elif reply.status_code != requests.codes.ok:
            course.failed.append(f"{reply.status_code} {reply.text}")
        else:
            course.latencies.append((now, time.monotonic() - begun - now))


def print_table(courses: dict[str, Course]) -> None:
    """Print what happened, as Markdown."""
    print(
        "| | requests | failed | deadly, refused | p50 first / last fifth ms | "
        "memory last / most MB | processes replaced |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, course in courses.items():
        first, last = course.p50_ms()
        memory = [mb for _, mb in course.memory]
        why = ", ".join(f"{n} {why}" for why, n in sorted(course.recycles.items())) or "none"
        print(
            f"| {name} | {len(course.latencies)} | {len(course.failed)} | {course.refused} | "
            f"{first:.0f} / {last:.0f} | {memory[-1]:.0f} / {max(memory):.0f} | {why} |"
        )


def draw(courses: dict[str, Course], path: Path) -> None:
    """Draw latency and memory over time."""
    import matplotlib.pyplot as plt

    figure, (upper, lower) = plt.subplots(2, 1, sharex=True, figsize=(9, 6))
    for name, course in courses.items():
        times = sorted(course.latencies)
        upper.plot([t for t, _ in times], [1000 * s for _, s in times], ".", ms=2, label=name)
        lower.plot([t for t, _ in course.memory], [mb for _, mb in course.memory], label=name)
    upper.set(ylabel="latency, ms", yscale="log")
    lower.set(ylabel="memory of the model process, MB", xlabel="seconds")
    for panel in (upper, lower):
        panel.grid(alpha=0.3)
        panel.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    sys.exit(main())
