"""How long clients wait when the model process is recycled, cold or with a standby, or killed."""

import os
import signal
import statistics
import tempfile
import time
from pathlib import Path

import requests

from benchmarks.gpu.results import Results
from benchmarks.gpu.rows import arguments, ensure_checkpoint
from benchmarks.gpu.stack import LOAD_TIMEOUT_S, stack_of
from benchmarks.recovery import load
from tests.stack import API, Stack, end, wait_for

STEADY_S = 2.0
"""Time under load before and after."""


def main() -> None:
    """Measure recycles and a killed model process under a few clients."""
    given = arguments()
    until = time.monotonic() + given.limit_s
    results = Results(given.out)
    ensure_checkpoint(given.model, given.checkpoints, "cuda")
    for standby in ("on", "off"):
        with (
            tempfile.TemporaryDirectory() as folder,
            stack_of(given, Path(folder), standby=standby) as (stack, base),
        ):
            worker = stack.another_worker(given.model)
            stack.wait_ready(given.model, timeout_s=LOAD_TIMEOUT_S)
            what = "recycle with a standby" if standby == "on" else "cold recycle"
            disturb(results, stack, base, given.model, what)
            if standby == "off" and time.monotonic() < until:
                disturb(results, stack, base, given.model, "kill -9 of the model process")
            end(worker)


def disturb(results: Results, stack: Stack, base: str, model: str, what: str) -> None:
    """Disturb a model under load, and add what it cost."""
    before = loads(stack, model)
    with load(base, model) as replies:
        time.sleep(STEADY_S)
        began = time.perf_counter()
        if what.startswith("kill"):
            os.kill(stack.presence(model).workers[0].model_pid, signal.SIGKILL)
        else:
            address = f"{base}{API}/models/{model}/recycle"
            requests.post(address, timeout=10).raise_for_status()
        wait_for("the new process", lambda: loads(stack, model) > before)
        ready_s = time.perf_counter() - began
        time.sleep(STEADY_S)
    times = [seconds for ok, seconds in replies if ok]
    results.add(
        "recovery",
        model,
        what,
        requests=len(replies),
        failed=sum(not ok for ok, _ in replies),
        ready_s=ready_s,
        p50_ms=1000 * statistics.median(times),
        longest_ms=1000 * max(times),
    )


def loads(stack: Stack, model: str) -> int:
    """Return how often the model was loaded."""
    return sum(worker.loads for worker in stack.presence(model).workers)


if __name__ == "__main__":
    main()
