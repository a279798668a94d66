"""How long clients wait when the model process is recycled, cold or with a standby, or killed."""

import os
import signal
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import requests

from benchmarks.gpu.results import Results
from benchmarks.gpu.rows import arguments
from benchmarks.gpu.stack import LOAD_TIMEOUT_S, stack_of
from benchmarks.measuring import ensure_checkpoint
from benchmarks.recovery import load, loads
from tests.stack import API, Stack, end, wait_for

STEADY_S = 2.0
"""Time under load before and after."""


def main() -> None:
    """Measure recycles and a killed model process under a few clients."""
    given = arguments()
    until = given.until
    results = Results(given.out)
    ensure_checkpoint(given.model, given.checkpoints, "cuda")
    for standby in ("off", "on"):
        with (
            tempfile.TemporaryDirectory() as folder,
            stack_of(given, Path(folder), standby=standby) as (stack, base),
        ):
            worker = stack.another_worker(given.model)
            stack.wait_ready(given.model, timeout_s=LOAD_TIMEOUT_S)
            model = Disturbed(stack, base, given.model)
            if standby == "off":
                measure(results, model, "kill -9 of the model process", model.kill)
            what = "recycle with a standby" if standby == "on" else "cold recycle"
            if time.monotonic() < until:
                measure(results, model, what, model.recycle)
            end(worker)


class Disturbed(NamedTuple):
    """A model of a stack, and what can be done to it."""

    stack: Stack
    base: str
    name: str

    def recycle(self) -> None:
        """Have its process replaced."""
        address = f"{self.base}{API}/models/{self.name}/recycle"
        requests.post(address, timeout=10).raise_for_status()

    def kill(self) -> None:
        """Kill its process."""
        os.kill(self.stack.presence(self.name).workers[0].model_pid, signal.SIGKILL)


def measure(results: Results, model: Disturbed, what: str, disturb: Callable[[], None]) -> None:
    """Disturb a model under load, and add what it cost."""
    before = loads(model.stack, model.name)
    with load(model.base, model.name) as replies:
        time.sleep(STEADY_S)
        began = time.perf_counter()
        disturb()
        wait_for("the new process", lambda: loads(model.stack, model.name) > before)
        ready_s = time.perf_counter() - began
        time.sleep(STEADY_S)
    times = [seconds for ok, seconds in replies if ok]
    results.add(
        "recovery",
        model.name,
        what,
        requests=len(replies),
        failed=sum(not ok for ok, _ in replies),
        ready_s=ready_s,
        p50_ms=1000 * statistics.median(times),
        longest_ms=1000 * max(times),
    )


if __name__ == "__main__":
    main()
