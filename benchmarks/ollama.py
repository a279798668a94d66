"""Measure what healing and a second server are worth, with stand-ins of Ollama servers.

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
"""The words are ten tokens: 125 ms; ten times that when the model fell to the CPU."""
REQUESTS, FALLS_AFTER, CLIENTS = 200, 60, 2
MANY, MANY_CLIENTS, ROUNDS = 120, 8, 3


class Reply(NamedTuple):
    """One answer."""

    ok: bool
    began_s: float
    took_s: float


def main() -> None:
    """Print all tables."""
    print(f"`make bench-ollama`, {machine()}.\n", flush=True)
    print("| healing | failed | p50 ms, first 60 | p50 ms, last 60 | longest s | loads |")
    print("| --- | --- | --- | --- | --- | --- |")
    for enabled in (True, False):
        degrade(healing=enabled)
    spread()


def degrade(*, healing: bool) -> None:
    """Ask one server whose model falls to the CPU, ten times slower, after 60 answers."""
    with server(cpu_after=FALLS_AFTER, load_s=2.0) as ill, stack([ill], healing=healing) as ask:
        replies = together(ask, REQUESTS, CLIENTS)
        loads = sum(ill.state()["loads"].values())
    before, after = replies[5:FALLS_AFTER], replies[-FALLS_AFTER:]
    row = [
        "on" if healing else "off",
        f"{sum(not reply.ok for reply in replies)} of {REQUESTS}",
        f"{1000 * statistics.median(reply.took_s for reply in before):.0f}",
        f"{1000 * statistics.median(reply.took_s for reply in after):.0f}",
        f"{max(reply.took_s for reply in replies):.1f}",
        str(loads),
    ]
    print(f"| {' | '.join(row)} |", flush=True)


def spread() -> None:
    """Compare one server with two, in turns; then kill one of two."""
    with (
        server() as first,
        server() as second,
        stack([first]) as ask_one,
        stack([first, second]) as ask_two,
    ):
        together(ask_two, 20, MANY_CLIENTS)
        rates: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(ROUNDS):
            for count, ask in ((1, ask_one), (2, ask_two)):
                started = time.perf_counter()
                together(ask, MANY, MANY_CLIENTS)
                rates[count].append(MANY / (time.perf_counter() - started))
        one, two = (statistics.median(rates[count]) for count in (1, 2))
        print(
            f"\n{MANY_CLIENTS} clients: {one:.1f} requests/s with one server, {two:.1f} with two: "
            f"{two / one:.2f} times."
        )
        with ThreadPoolExecutor(1) as killer:
            killed = killer.submit(kill_after, first, 2.0)
            replies = together(ask_two, MANY, MANY_CLIENTS)
            killed.result()
        failed = sum(not reply.ok for reply in replies)
        print(f"One of two killed after 2 s: {failed} of {MANY} failed.", flush=True)


def kill_after(server: OllamaProcess, seconds: float) -> None:
    """Have a server die in the middle of things."""
    time.sleep(seconds)
    server.kill()


@contextmanager
def server(**knobs: float) -> Iterator[OllamaProcess]:
    """Run a stand-in that takes 125 ms for an answer."""
    with OllamaProcess((MODEL,), token_s=TOKEN_S, answer=WORDS, parallel=1, **knobs) as running:
        yield running


@contextmanager
def stack(servers: list[OllamaProcess], *, healing: bool = True) -> Iterator[Callable[[], Reply]]:
    """Run the stack in front of some servers; gives a call that asks once."""
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

            def ask() -> Reply:
                began = time.perf_counter()
                reply = requests.post(url, json=body, timeout=120)
                return Reply(reply.ok, began, time.perf_counter() - began)

            yield ask


def together(ask: Callable[[], Reply], count: int, clients: int) -> list[Reply]:
    """Ask ``count`` times by some clients at once; replies in the order in which they began."""
    with ThreadPoolExecutor(clients) as pool:
        return sorted(pool.map(lambda _: ask(), range(count)), key=lambda reply: reply.began_s)


if __name__ == "__main__":
    main()
