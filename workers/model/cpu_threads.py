"""How many threads a model computes with on a CPU, and how they wait for each other."""

import os


def wait_asleep() -> None:
    """Have OpenMP's threads sleep while they wait for each other, unless the environment differs.

    By default they spin after each operation of torch, and on a busy host keep those that they wait
    for from a core: two threads then took 20 to 40 times as long as this way, and as much more CPU
    time. To be called before torch is imported.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
