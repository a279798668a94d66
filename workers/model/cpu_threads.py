"""How many threads a model computes with on a CPU, and how they wait for each other."""

import os
from pathlib import Path

from workers.model.memory import CGROUP

SPINS = "4000"
"""How often a thread of libgomp looks again before it sleeps: for some 0.1 ms. Most waits in a
captioner are shorter, and to be woken takes longer (docs/benchmarks.md has the figures)."""


def spin_briefly() -> None:
    """Have OpenMP's threads soon sleep while they wait for each other.

    By default they spin for milliseconds after each operation of torch, and on a busy host keep
    those that they wait for from a core. What the environment says goes first. To be called before
    torch is imported.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # which libgomp's own variable overrules
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)


def usable_cores(cgroup: Path = CGROUP) -> int:
    """Return how many cores this process may keep busy, by its affinity and its container's limit.

    Args:
        cgroup: where the kernel shows a container its limits.
    """
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
        return max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):  # no cgroup v2, or "max": no limit
        return cores
