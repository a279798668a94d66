"""How many threads a model computes with on a CPU, and how they wait for each other."""

import os
from pathlib import Path

from workers.model.memory import CGROUP


def wait_asleep() -> None:
    """Have OpenMP's threads sleep while they wait for each other, unless the environment differs.

    By default they spin after each operation of torch, and on a busy host keep those that they wait
    for from a core: two threads then took 20 to 40 times as long as this way, and as much more CPU
    time. To be called before torch is imported.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


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
