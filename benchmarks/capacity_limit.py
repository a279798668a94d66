"""Measure Redis at its limit: in a container that may use a few hundredths of a core.

A machine of two cores cannot fill a core of Redis beside the clients, APIs and workers, which cost
far more. So Redis is made smaller until it is what everything waits for, and the requests a second
are counted. Needs a container engine; the images are built by ``docker compose build``. Prints
Markdown for ``docs/scaling.md``.
"""

import os
import time

from benchmarks.measuring import Client
from shared.tasks import CAPTION
from tests.containers.project import Project, free_ports

FILES = ("compose.yaml", "tests/containers/compose.test.yaml", "benchmarks/compose.capacity.yaml")
CLIENTS, REQUESTS = 16, 400
SHARES = ("1", "0.06", "0.04", "0.02")


def main() -> None:
    """Print the table."""
    print("| Redis may use of a core | and used | requests/s | Redis CPU ms a request |")
    print("| --- | --- | --- | --- |")
    for share in SHARES:
        project = Project(
            f"vision-capacity-{os.getpid()}",
            *FILES,
            LABELS_MODEL="fake",
            REDIS_CPUS=share,
            VISION_HOST="127.0.0.1",
            VISION_MODELS="fake",
            VISION_PORT=str(free_ports(1)),
        )
        try:
            project.up("redis", "api", "worker-labels")
            row(project, share)
        finally:
            project.compose("down", "--volumes", check=False)


def row(project: Project, share: str) -> None:
    """Have clients ask, and print what came of it."""
    call = Client(project.base(), "fake", CAPTION)
    call.rate(CLIENTS, 2 * CLIENTS)
    before, started = redis_cpu_s(project), time.perf_counter()
    rate = call.rate(CLIENTS, REQUESTS)
    spent, seconds = redis_cpu_s(project) - before, time.perf_counter() - started
    cells = (f"{float(share):.0%}", f"{spent / seconds:.1%}", f"{rate:.0f}")
    print(f"| {' | '.join(cells)} | {1000 * spent / REQUESTS:.2f} |", flush=True)


def redis_cpu_s(project: Project) -> float:
    """Return the CPU seconds that Redis has used."""
    lines = project.sh("redis", "redis-cli info cpu").splitlines()
    values = dict(line.strip().split(":", 1) for line in lines if ":" in line)
    return float(values["used_cpu_user"]) + float(values["used_cpu_sys"])


if __name__ == "__main__":
    main()
