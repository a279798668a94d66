"""Measure what a recycle under load costs, and what a second replica is worth.

The model is a fake whose time is sleep, so that two cores are enough; all else is real. Prints
Markdown for ``docs/benchmarks.md``.
"""

import statistics
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

from benchmarks.measuring import PHOTO, Client, machine
from shared.catalog import Catalog
from shared.tasks import CAPTION
from tests.conftest import data_url
from tests.stack import API, Stack, end, running_stack, wait_for

LOAD_S = 6.0
CLIENTS = 4
QUIET_S = 5.0
"""Under load before the recycle is asked for; as long afterwards."""
PREDICT_S, IMAGE_S, MAX_BATCH = 0.4, 0.02, 8
FEW = 4
ROUNDS = 3
REQUESTS = 8
"""Of each client in a round."""

SHARED = {"predict_s": PREDICT_S, "image_s": IMAGE_S}
ROWS: dict[str, dict[str, Any]] = {
    **{
        f"standby-{way}": {
            "parameters": {"load_s": LOAD_S, "predict_s": 0.05, "image_s": 0.01},
            "engine": {"standby": way, "max_batch": 4},
        }
        for way in ("on", "off")
    },
    "shared": {"parameters": SHARED, "engine": {"max_batch": MAX_BATCH}},
}


def main() -> None:
    """Print both tables."""
    print(f"`make bench-recovery`, {machine()}.\n", flush=True)
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
    """Recycle once under load, with a standby and without."""
    print("| recycle | requests | failed | p50 ms | longest ms | added by the recycle, s |")
    print("| --- | --- | --- | --- | --- | --- |")
    for way, what in (("on", "with a standby"), ("off", "cold")):
        name = f"standby-{way}"
        worker = stack.another_worker(name)
        stack.wait_ready(name)
        with load(base, name) as replies:
            time.sleep(QUIET_S)
            requests.post(f"{base}{API}/models/{name}/recycle", timeout=10).raise_for_status()
            wait_for("the recycle", lambda n=name: _loads(stack, n) > 1)  # type: ignore[misc]
            time.sleep(QUIET_S)
        end(worker)
        times = [seconds for ok, seconds in replies if ok]
        middle, longest = statistics.median(times), max(times)
        failed = sum(not ok for ok, _ in replies)
        cells = [what, str(len(replies)), str(failed), f"{1000 * middle:.0f}"]
        print_row([*cells, f"{1000 * longest:.0f}", f"{longest - middle:.1f}"])
    print()


def _loads(stack: Stack, name: str) -> int:
    return sum(worker.loads for worker in stack.presence(name).workers)


@contextmanager
def load(base: str, name: str) -> Iterator[list[tuple[bool, float]]]:
    """Have clients ask without pause; yields whether each reply was 200, and its seconds."""
    replies: list[tuple[bool, float]] = []
    over = threading.Event()
    body = {"images": [data_url(PHOTO.read_bytes())]}

    def ask() -> None:
        session = requests.Session()
        while not over.is_set():
            began = time.perf_counter()
            reply = session.post(f"{base}{API}/caption/{name}", json=body, timeout=60)
            replies.append((reply.ok, time.perf_counter() - began))

    with ThreadPoolExecutor(CLIENTS) as pool:
        asking = [pool.submit(ask) for _ in range(CLIENTS)]
        try:
            yield replies
        finally:
            over.set()
    for one in asking:
        one.result()  # raises what the client met


def replica_table(stack: Stack, base: str) -> None:
    """One replica against two, in turns; and how busy each of two is."""
    client = Client(base, "shared", CAPTION)
    print("| clients | one replica, requests/s | two | ratio | share of each | busy, % of time |")
    print("| --- | --- | --- | --- | --- | --- |")
    for clients in (FEW, 4 * MAX_BATCH):
        one, two, shares, busy = [], [], [], []
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
            shares.append([n / sum(images) for n in images])
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
                ", ".join(f"{min(pair):.2f}/{max(pair):.2f}" for pair in shares),
                ", ".join(f"{100 * min(pair):.0f}/{100 * max(pair):.0f}" for pair in busy),
            ]
        )


Done = dict[str, tuple[int, float]]


def _done(stack: Stack) -> Done:
    """Return images, and seconds that the model slept, by worker."""
    return {
        worker.worker: (
            worker.images,
            sum(n * (PREDICT_S + IMAGE_S * jobs) for jobs, n in worker.batches.items()),
        )
        for worker in stack.presence("shared").workers
    }


def _since(stack: Stack, before: Done, images: int) -> tuple[list[int], list[float]]:
    """Return each worker's images and seconds since ``before``, once all are counted."""

    def counted() -> Done | None:
        now = _done(stack)
        done = sum(now[name][0] - before[name][0] for name in before)
        return now if done >= images else None

    after = wait_for("the numbers", counted, 10)
    return (
        [after[name][0] - before[name][0] for name in before],
        [after[name][1] - before[name][1] for name in before],
    )


def print_row(cells: list[str]) -> None:
    """Print a row of a table."""
    print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
