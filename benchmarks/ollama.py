"""Measure the effect of healing and of a second server, with stand-ins of Ollama servers.

API, Redis, queue and worker are real. Prints Markdown for ``docs/benchmarks.md``.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import requests
import yaml

from benchmarks.measuring import PHOTO, machine
from tests.conftest import data_url
from tests.ollama_standin import OllamaProcess
from tests.stack import API, CATALOG, running_stack

MODEL = "llava:7b"
WORDS = "one two three four five six seven eight"
TOKEN_S = 0.0125
"""The words are ten tokens, which take 125 ms; ten times as long once the model is on the CPU."""
REQUESTS, CLIENTS = 200, 2
CPU_AFTER = 60
"""Answers after which the model falls to the CPU."""
PARALLEL_REQUESTS, PARALLEL_CLIENTS, ROUNDS = 120, 8, 3


class Reply(NamedTuple):
    """One answer."""

    ok: bool
    started_s: float
    seconds: float


def main() -> None:
    """Print all tables."""
    print(f"`make bench-ollama`, {machine()}.\n", flush=True)
    print("| healing | failed | p50 ms, first 60 | p50 ms, last 60 | longest s | loads |")
    print("| --- | --- | --- | --- | --- | --- |")
    for enabled in (True, False):
        measure_healing(healing=enabled)
    measure_second_server()


def measure_healing(*, healing: bool) -> None:
    """Measure one server whose model falls to the CPU, ten times slower, after 60 answers."""
    with (
        server(cpu_after=CPU_AFTER, load_s=2.0) as slowing,
        stack([slowing], healing=healing) as send,
    ):
        replies = send_all(send, REQUESTS, CLIENTS)
        loads = sum(slowing.state()["loads"].values())
    before, after = replies[5:CPU_AFTER], replies[-CPU_AFTER:]
    row = [
        "on" if healing else "off",
        f"{sum(not reply.ok for reply in replies)} of {REQUESTS}",
        f"{1000 * statistics.median(reply.seconds for reply in before):.0f}",
        f"{1000 * statistics.median(reply.seconds for reply in after):.0f}",
        f"{max(reply.seconds for reply in replies):.1f}",
        str(loads),
    ]
    print(f"| {' | '.join(row)} |", flush=True)


def measure_second_server() -> None:
    """Compare one server with two, in turns; then kill one of two."""
    with (
        server() as first,
        server() as second,
        stack([first]) as send_to_one,
        stack([first, second]) as send_to_two,
    ):
        send_all(send_to_two, 20, PARALLEL_CLIENTS)
        rates: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(ROUNDS):
            for count, send in ((1, send_to_one), (2, send_to_two)):
                started = time.perf_counter()
                send_all(send, PARALLEL_REQUESTS, PARALLEL_CLIENTS)
                rates[count].append(PARALLEL_REQUESTS / (time.perf_counter() - started))
        one, two = (statistics.median(rates[count]) for count in (1, 2))
        print(
            f"\n{PARALLEL_CLIENTS} clients: {one:.1f} requests/s with one server, "
            f"{two:.1f} with two: {two / one:.2f} times."
        )
        with ThreadPoolExecutor(1) as killer:
            killed = killer.submit(kill_after, first, 2.0)
            replies = send_all(send_to_two, PARALLEL_REQUESTS, PARALLEL_CLIENTS)
            killed.result()
        failed = sum(not reply.ok for reply in replies)
        print(f"One of two killed after 2 s: {failed} of {PARALLEL_REQUESTS} failed.", flush=True)


def kill_after(server: OllamaProcess, seconds: float) -> None:
    """Kill a server after some seconds."""
    time.sleep(seconds)
    server.kill()


@contextmanager
def server(**knobs: float) -> Iterator[OllamaProcess]:
    """Run a stand-in that takes 125 ms per answer."""
    with OllamaProcess((MODEL,), token_s=TOKEN_S, answer=WORDS, parallel=1, **knobs) as running:
        yield running


@contextmanager
def stack(servers: list[OllamaProcess], *, healing: bool = True) -> Iterator[Callable[[], Reply]]:
    """Run the stack with some servers; yields a function that sends one request."""
    with tempfile.TemporaryDirectory() as folder:
        rows = yaml.safe_load(CATALOG.read_text(encoding="utf-8"))
        row = next(row for row in rows["models"] if row["name"] == "ollama")
        row["parameters"] = {"healing": {"enabled": healing}}
        catalog = Path(folder) / "models.yaml"
        catalog.write_text(yaml.safe_dump(rows), encoding="utf-8")
        hosts = ",".join(one.url for one in servers)
        settings = {"VISION_CATALOG": str(catalog), "OLLAMA_HOST": hosts, "OLLAMA_ENABLED": "true"}
        with running_stack(Path(folder), **settings) as running:
            running.worker("ollama")
            url = f"{running.api()}{API}/caption"
            body = {"model": MODEL, "images": [data_url(PHOTO.read_bytes())]}

            def send() -> Reply:
                started = time.perf_counter()
                reply = requests.post(url, json=body, timeout=120)
                return Reply(reply.ok, started, time.perf_counter() - started)

            yield send


def send_all(send: Callable[[], Reply], count: int, clients: int) -> list[Reply]:
    """Send ``count`` requests from some clients; return the replies in order of their start."""
    with ThreadPoolExecutor(clients) as pool:
        return sorted(pool.map(lambda _: send(), range(count)), key=lambda reply: reply.started_s)


if __name__ == "__main__":
    main()
