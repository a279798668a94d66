"""Measure what a recycle costs under load, how soon models restart, and what a replica adds.

Under load the model only sleeps, so that two cores are enough; everything else is real. Prints
Markdown for ``docs/benchmarks.md``. An argument names a folder with checkpoints of full size, whose
restarts are measured too.
"""

import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
import yaml

from benchmarks.measuring import PHOTO, Client, machine, print_row
from benchmarks.restarts import restart_table
from shared.catalog import Catalog
from shared.tasks import CAPTION
from tests.conftest import data_url
from tests.stack import API, Stack, end, running_stack, wait_for

LOAD_S = 6.0
CLIENTS = 4
STEADY_S = 5.0
"""Time under load before the recycle, and after it."""
PREDICT_S, IMAGE_S, MAX_BATCH = 0.4, 0.02, 8
FEW_CLIENTS, MANY_CLIENTS = 4, 4 * MAX_BATCH
ROUNDS = 3
REQUESTS = 8
"""Per client and round."""

SHARED = {"predict_s": PREDICT_S, "image_s": IMAGE_S}
ROWS: dict[str, dict[str, Any]] = {
    **{
        f"standby-{standby}": {
            "parameters": {"load_s": LOAD_S, "predict_s": 0.05, "image_s": 0.01},
            "engine": {"standby": standby, "max_batch": 4},
        }
        for standby in ("on", "off")
    },
    "shared": {"parameters": SHARED, "engine": {"max_batch": MAX_BATCH}},
}

Done = dict[str, tuple[int, float]]
"""Images, and seconds in the model, by worker."""


def main() -> None:
    """Print all tables."""
    print(f"`make bench-recovery`, {machine()}.\n", flush=True)
    restart_table(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
    with tempfile.TemporaryDirectory() as folder:
        catalog = Path(folder) / "models.yaml"
        rows = [{"name": name, "family": "fake", **row} for name, row in ROWS.items()]
        catalog.write_text(yaml.safe_dump({"models": rows}))
        settings = {
            "VISION_CATALOG": str(catalog),
            "VISION_MODELS": "shared",
            "VISION_REQUEST_SLOTS": "64",
        }
        with running_stack(Path(folder), **settings) as stack:
            stack.catalog = Catalog.load(catalog)
            base = stack.api()
            recycle_table(stack, base)
            replica_table(stack, base)


def recycle_table(stack: Stack, base: str) -> None:
    """Print a recycle under load, with a standby process and without."""
    print("| recycle | requests | failed | p50 ms | longest ms | added by the recycle, s |")
    print("| --- | --- | --- | --- | --- | --- |")
    for standby, what in (("on", "with a standby"), ("off", "cold")):
        name = f"standby-{standby}"
        worker = stack.another_worker(name)
        stack.wait_ready(name)
        with load(base, name) as replies:
            time.sleep(STEADY_S)
            requests.post(f"{base}{API}/models/{name}/recycle", timeout=10).raise_for_status()
            wait_for("the recycle", lambda n=name: loads(stack, n) > 1)  # type: ignore[misc]
            time.sleep(STEADY_S)
        end(worker)
        times = [seconds for ok, seconds in replies if ok]
        middle, longest = statistics.median(times), max(times)
        failed = sum(not ok for ok, _ in replies)
        cells = [what, str(len(replies)), str(failed), f"{1000 * middle:.0f}"]
        print_row([*cells, f"{1000 * longest:.0f}", f"{longest - middle:.1f}"])
    print()


def loads(stack: Stack, name: str) -> int:
    """Return how often workers have loaded a model."""
    return sum(worker.loads for worker in stack.presence(name).workers)


@contextmanager
def load(base: str, name: str) -> Iterator[list[tuple[bool, float]]]:
    """Send requests without pause; yields whether each got a 200, and its seconds."""
    replies: list[tuple[bool, float]] = []
    stopped = threading.Event()
    body = {"images": [data_url(PHOTO.read_bytes())]}

    def send_requests() -> None:
        session = requests.Session()
        while not stopped.is_set():
            began = time.perf_counter()
            reply = session.post(f"{base}{API}/caption/{name}", json=body, timeout=60)
            replies.append((reply.ok, time.perf_counter() - began))

    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(send_requests) for _ in range(CLIENTS)]
        try:
            yield replies
        finally:
            stopped.set()
    for client in clients:
        client.result()  # raises the client's exception


def replica_table(stack: Stack, base: str) -> None:
    """Print the throughput of one replica and of two, in turns, and how the two share the load."""
    client = Client(base, "shared", CAPTION)
    print(
        "| clients | one replica, requests/s | two | ratio | fraction of each | busy, % of time |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for clients in (FEW_CLIENTS, MANY_CLIENTS):
        one, two, fractions, busy = [], [], [], []
        for _ in range(ROUNDS):
            first = stack.another_worker("shared")
            stack.wait_ready("shared", 1)
            one.append(client.rate(clients, REQUESTS * clients))
            second = stack.another_worker("shared")
            stack.wait_ready("shared", 2)
            before = _done(stack)
            began = time.monotonic()
            two.append(client.rate(clients, REQUESTS * clients))
            took = time.monotonic() - began
            images, busy_s = _since(stack, before, REQUESTS * clients)
            fractions.append([n / sum(images) for n in images])
            busy.append([s / took for s in busy_s])
            end(first)
            end(second)
        rates = statistics.median(one), statistics.median(two)
        print_row(
            [
                str(clients),
                f"{rates[0]:.1f}",
                f"{rates[1]:.1f}",
                f"{rates[1] / rates[0]:.2f}",
                ", ".join(f"{min(pair):.2f}/{max(pair):.2f}" for pair in fractions),
                ", ".join(f"{100 * min(pair):.0f}/{100 * max(pair):.0f}" for pair in busy),
            ]
        )


def _done(stack: Stack) -> Done:
    """Return what each worker has done so far; the model only sleeps, so its time is known."""
    return {
        worker.worker: (
            worker.images,
            sum(n * (PREDICT_S + IMAGE_S * jobs) for jobs, n in worker.batches.items()),
        )
        for worker in stack.presence("shared").workers
    }


def _since(stack: Stack, before: Done, images: int) -> tuple[list[int], list[float]]:
    """Return each worker's images and seconds since ``before``, once ``images`` are counted."""

    def counted() -> Done | None:
        now = _done(stack)
        done = sum(now[name][0] - before[name][0] for name in before)
        return now if done >= images else None

    after = wait_for("the numbers", counted, 10)
    return (
        [after[name][0] - before[name][0] for name in before],
        [after[name][1] - before[name][1] for name in before],
    )


if __name__ == "__main__":
    main()
