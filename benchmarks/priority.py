"""Measure how long a person waits while bulk work does, and what that costs the bulk work.

Prints Markdown for ``docs/benchmarks.md``. Bulk clients each send one request after the other, so
that as many wait all the time. A person sends single requests meanwhile, each some time after the
last answer.
"""

import statistics
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import requests

from benchmarks.measuring import PHOTO, TIMEOUT_S, machine, print_row
from shared.tasks import CAPTION, LABELS, NSFW
from shared.tasks.registry import Task
from tests.conftest import data_url
from tests.stack import API, Stack, running_stack, wait_for

BULK = 200
"""Clients of bulk work; as many requests wait, but for those that run."""
SECONDS = 15.0
"""For which each case is measured."""
PAUSE_S = 0.5
"""Between an answer to the person and the next question."""
CASES: tuple[tuple[str, Task], ...] = (
    ("efficientnet-lite0", LABELS),
    ("opennsfw", NSFW),
    ("blip", CAPTION),
)


class Figures(NamedTuple):
    """What was measured."""

    waits_ms: list[float]
    """How long each request of the person waited, as the service says."""
    replies_ms: list[float]
    """How long the person waited for each answer."""
    batch_ms: float
    """How long a batch took, on average."""
    bulk_per_s: float


def main() -> None:
    """Print a table."""
    print(f"`make bench-priority`, {machine()}.\n", flush=True)
    heads = (
        "model", "bulk requests", "batch ms", "a person waits ms: median, longest",
        "answer ms: median, longest", "bulk requests/s",
    )  # fmt: skip
    print_row(heads)
    print_row("---" for _ in heads)
    with tempfile.TemporaryDirectory() as folder:
        slots = str(2 * BULK)
        with running_stack(Path(folder), VISION_REQUEST_SLOTS=slots, VISION_TIMEOUT="590") as stack:
            base = stack.api()
            for model, task in CASES:
                for priority in ("person", "bulk"):
                    figures = measure(stack, base, model, task, priority)
                    what = "as a person's" if priority == "person" else "`X-Priority: bulk`"
                    cells = (
                        model, what, f"{figures.batch_ms:.0f}", spread(figures.waits_ms),
                        spread(figures.replies_ms), f"{figures.bulk_per_s:.1f}",
                    )  # fmt: skip
                    print_row(cells)


def measure(stack: Stack, base: str, model: str, task: Task, priority: str) -> Figures:
    """Have bulk work and a person ask a model for some time."""
    stack.worker(model)
    path = f"{base}{API}/{task}/{model}"
    body = {"images": [data_url(PHOTO.read_bytes())]}
    over, answered = threading.Event(), [0] * BULK
    waits_ms, replies_ms, batches_ms = list[float](), list[float](), list[float]()

    def ask(session: requests.Session, as_who: str) -> requests.Response:
        reply = session.post(path, json=body, headers={"X-Priority": as_who}, timeout=TIMEOUT_S)
        reply.raise_for_status()
        return reply

    def bulk_client(number: int) -> None:
        with requests.Session() as session:
            while not over.is_set():
                ask(session, priority)
                answered[number] += 1

    with ThreadPoolExecutor(BULK) as pool, requests.Session() as person:
        clients = [pool.submit(bulk_client, number) for number in range(BULK)]
        wait_for("the crowd", lambda: all(answered))
        before, began = sum(answered), time.perf_counter()
        while time.perf_counter() - began < SECONDS:
            asked = time.perf_counter()
            times = times_in(ask(person, "person"))
            replies_ms.append(1000 * (time.perf_counter() - asked))
            waits_ms.append(times["queue"])
            batches_ms.append(times["predict"])
            time.sleep(PAUSE_S)
        rate = (sum(answered) - before) / (time.perf_counter() - began)
        over.set()
        for client in clients:
            client.result()
    return Figures(waits_ms, replies_ms, statistics.mean(batches_ms), rate)


def times_in(reply: requests.Response) -> dict[str, float]:
    """Return the milliseconds in ``Server-Timing`` by phase."""
    phases = (part.split(";") for part in reply.headers["Server-Timing"].split(", "))
    return {phase: float(duration.removeprefix("dur=")) for phase, _, duration in phases}


def spread(values_ms: list[float]) -> str:
    """Return the median and the largest value."""
    return f"{statistics.median(values_ms):.0f}, {max(values_ms):.0f}"


if __name__ == "__main__":
    main()
