"""Test and measure the service on one GPU: models alone, first batches, the stack, and recovery.

Works from the checkout alone, without a network: weights are random, of the published size. Each
stage is a process with a time limit, and each figure is written as soon as it is known, so that a
run that is cut off still tells something. Figures of one run are comparable; those of runs on
different machines are not.

    python -m benchmarks.gpu [--stages tests,bare,stack,constrained,recovery,first]
                             [--models kosmos-2,blip,vit-gpt2,smolvlm2,qwen3-vl-2b]
                             [--out FILE] [--budget-s 460] [--small]

``--small`` uses the tests' tiny checkpoints on whatever device there is, to see that all runs.
"""

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.gpu.results import Results
from benchmarks.gpu.rows import CAPTIONERS, CHAT_MODELS, checkpoint_folder
from benchmarks.measuring import machine
from shared.settings import ROOT

STAGES = {
    "tests": 2.0, "bare": 2.0, "stack": 3.0, "constrained": 2.0, "recovery": 3.0, "first": 1.0,
}  # fmt: skip
"""Stages in their order, with their share of the time per model."""
RESERVE_S = 5.0
"""Left for the tables."""
STOP_S = 10.0
"""How long a stage that is out of time may take to stop its servers."""
ONCE = {"tests", "recovery", "first"}
"""Stages that are run once: with ``ONCE_MODEL``, or else with the first model. The tests have
models of their own."""
ONCE_MODEL = "kosmos-2"


def main() -> None:
    """Run the stages and print what they found."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--stages", default=",".join(STAGES), help="separated by commas")
    parser.add_argument("--models", default=",".join(CAPTIONERS), help="separated by commas")
    parser.add_argument("--out", type=Path, help="file for the figures, one JSON object per line")
    parser.add_argument("--budget-s", type=float, default=460, help="most seconds in all")
    parser.add_argument("--small", action="store_true", help="tiny checkpoints, few clients")
    options = parser.parse_args()
    until = time.monotonic() + options.budget_s - RESERVE_S
    print(f"Begun {machine()}.\n", flush=True)
    with tempfile.TemporaryDirectory(dir=memory_folder()) as scratch:
        out = options.out or Path(scratch) / "results.jsonl"
        out.touch()
        checkpoints = checkpoint_folder(Path(scratch), small=options.small)
        steps = planned(options.stages.split(","), options.models.split(","))
        while steps:
            stage, model = steps[0]
            shares = sum(STAGES[name] for name, _ in steps)
            limit_s = (until - time.monotonic()) * STAGES[stage] / shares
            steps = steps[1:]
            argv = [sys.executable, "-m", f"benchmarks.gpu.{stage}"]
            if stage != "tests":
                argv += [
                    *(model, "--out", str(out), "--limit-s", f"{limit_s:.0f}"),
                    *("--checkpoints", str(checkpoints)),
                    *(["--small"] if options.small else []),
                ]
            # The stage keeps to its limit by itself; what hangs is ended a little later.
            if problem := run_for(argv, limit_s + RESERVE_S):
                print(f"{stage} of {model} {problem}", file=sys.stderr, flush=True)
        print(Results(out).tables())
    print(f"\nEnded {machine()}.")


def run_for(argv: list[str], limit_s: float) -> str:
    """Run a stage; return what went wrong, or nothing."""
    stage = subprocess.Popen(argv, cwd=ROOT)
    try:
        status = stage.wait(limit_s)
    except subprocess.TimeoutExpired:
        stage.send_signal(signal.SIGINT)  # which has it stop its servers
        try:
            stage.wait(STOP_S)
        except subprocess.TimeoutExpired:
            stage.kill()
            stage.wait()
        return f"was ended after {limit_s:.0f} s"
    return f"ended with status {status}" if status else ""


def planned(stages: list[str], models: list[str]) -> list[tuple[str, str]]:
    """Return the stages to run, each with its model, in order."""
    chosen = ONCE_MODEL if ONCE_MODEL in models else models[0]
    return [
        (stage, model)
        for stage in stages
        for model in models
        if (stage not in ONCE or model == chosen)
        and (stage != "constrained" or model in CHAT_MODELS)
    ]


def memory_folder() -> Path | None:
    """Return a folder in memory, so that no disk is measured; ``None``: the usual one."""
    shared_memory = Path("/dev/shm")  # noqa: S108 - a private folder is made in it
    return shared_memory if shared_memory.is_dir() else None


if __name__ == "__main__":
    main()
