"""Attacks on the whole service: load, faults under load, slow and hostile clients.

Prints a table of what each attack did, and complaints about what should not have been. The short
form runs with the slow tests; the long form takes about half an hour.
"""

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.measuring import machine
from benchmarks.prove import (
    abandoned,
    broker_faults,
    hostile_bodies,
    load,
    odd_input,
    process_faults,
    slow_clients,
)  # fmt: skip
from benchmarks.prove.leftovers import leftovers
from benchmarks.prove.report import Case, table, write
from benchmarks.prove.service import Service, running_service
from tests.stack import wait_for

ATTACKS: dict[str, Callable[[Service], list[Case]]] = {
    "load": load.attack,
    "processes": process_faults.attack,
    "redis": broker_faults.attack,
    "slow": slow_clients.attack,
    "bodies": hostile_bodies.attack,
    "odd": odd_input.attack,
    "abandoned": abandoned.attack,
}
LEFT_S = 90.0
"""How long after an attack keys may be left: a reply that nobody reads expires after a minute."""
GROWTH_MB = 300.0
"""How much larger the API may be after an attack than when it was idle."""


def main() -> int:
    """Run the attacks; returns 0 if there is nothing to complain of."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--long", action="store_true", help="all of it, about half an hour")
    parser.add_argument("--only", default=",".join(ATTACKS), help="names of attacks")
    parser.add_argument("--write", type=Path, help="document that gets the table")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # and so end the service
    print(machine(), flush=True)
    cases: list[Case] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        running_service(Path(folder), long=options.long) as service,
    ):
        for name in options.only.split(","):
            cases += prove(service, name)
    text = f"{machine()}\n\n{table(cases)}"
    print(f"\n{table(cases)}")
    if options.write:
        write(options.write, text)
    complaints = [text for case in cases for text in case.complaints]
    print("\n".join(complaints), file=sys.stderr)
    return 1 if complaints else 0


def prove(service: Service, name: str) -> list[Case]:
    """Run one kind of attack, and look at what it leaves behind."""
    service.wait_until_it_answers()
    idle_mb = service.memory_mb()
    cases = ATTACKS[name](service)
    for case in cases:
        print(case.row(), flush=True)
    find = partial(leftovers, service.stack.redis, of_killed_api=name != "processes")
    try:
        wait_for("nothing to be left", lambda: not find(), LEFT_S)
    except AssertionError:
        cases[-1].complaints.append(f"{name}: left in Redis: {find()[:5]}")
    service.wait_until_it_answers()
    grown_mb = service.memory_mb() - idle_mb
    print(f"after {name}: {len(find())} keys, the API {grown_mb:+.0f} MB", flush=True)
    if grown_mb > GROWTH_MB:
        cases[-1].complaints.append(f"{name}: the API is {grown_mb:.0f} MB larger than before")
    return cases


if __name__ == "__main__":
    sys.exit(main())
