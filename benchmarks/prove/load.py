"""Load: more clients than request slots, and many at the same moment."""

from benchmarks.prove.clients import mixed_shot, run
from benchmarks.prove.report import Case
from benchmarks.prove.service import Service

CLIENTS = 64
BURST = 512


def attack(service: Service) -> list[Case]:
    """Send mixed requests, each of which has to be answered for its own image."""
    count = 20_000 if service.long else 300
    return [
        _case(service, f"mixed requests of {CLIENTS} clients", count, CLIENTS),
        _case(service, f"a burst of {BURST}", BURST, BURST),
    ]


def _case(service: Service, name: str, count: int, clients: int) -> Case:
    tally = run(service.base, (mixed_shot(number) for number in range(count)), clients)
    longest = max(tally.seconds, default=0)
    return Case(name, tally, f"longest {longest:.1f} s", tally.complaints(name))
