"""Measure Redis at its limit, in a container that may use a few hundredths of a core.

On two cores, the clients, APIs and workers need far more CPU time than Redis and can never saturate
it. So Redis gets less and less of a core until it is the bottleneck. Needs a container engine, and
images built by ``docker compose build``. Prints Markdown for ``docs/scaling.md``.
"""

import os
import time

from benchmarks.measuring import Client, print_row
from shared.tasks import CAPTION
from tests.containers.project import Project, free_ports

FILES = ("compose.yaml", "tests/containers/compose.test.yaml", "benchmarks/compose.capacity.yaml")
CLIENTS, REQUESTS = 16, 400
CPU_LIMITS = ("1", "0.06", "0.04", "0.02")
"""Cores that Redis may use."""


def main() -> None:
    """Print the table."""
    print("| CPU limit of Redis, of a core | used | requests/s | Redis CPU ms per request |")
    print("| --- | --- | --- | --- |")
    for cpu_limit in CPU_LIMITS:
        project = Project(
            f"vision-capacity-{os.getpid()}",
            *FILES,
            LABELS_MODEL="fake",
            REDIS_CPUS=cpu_limit,
            VISION_HOST="127.0.0.1",
            VISION_MODELS="fake",
            VISION_PORT=str(free_ports(1)),
        )
        try:
            project.up("redis", "api", "worker-labels")
            measure(project, cpu_limit)
        finally:
            project.compose("down", "--volumes", check=False)


def measure(project: Project, cpu_limit: str) -> None:
    """Print a row: the CPU limit and use of Redis, and its throughput."""
    client = Client(project.base(), "fake", CAPTION)
    client.rate(CLIENTS, 2 * CLIENTS)  # the first requests are slow
    before_s, started = redis_cpu_s(project), time.perf_counter()
    rate = client.rate(CLIENTS, REQUESTS)
    cpu_s, seconds = redis_cpu_s(project) - before_s, time.perf_counter() - started
    cells = (f"{float(cpu_limit):.0%}", f"{cpu_s / seconds:.1%}", f"{rate:.0f}")
    print_row([*cells, f"{1000 * cpu_s / REQUESTS:.2f}"])


def redis_cpu_s(project: Project) -> float:
    """Return the CPU seconds that Redis has used."""
    lines = project.sh("redis", "redis-cli info cpu").splitlines()
    values = dict(line.strip().split(":", 1) for line in lines if ":" in line)
    return float(values["used_cpu_user"]) + float(values["used_cpu_sys"])


if __name__ == "__main__":
    main()
