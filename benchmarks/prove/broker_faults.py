"""Redis is in each state in which it does not serve, under load."""

import time

from benchmarks.prove.background import load
from benchmarks.prove.clients import Tally
from benchmarks.prove.report import Case
from benchmarks.prove.service import Service
from tests.redis_faults import FAULTS

SHORT_S, LONG_S = 3.0, 8.0
"""How long a fault lasts: the long time is longer than a heartbeat and a lease."""
RESTARTS = 15
PAUSE_S = 2.0
"""Between two restarts."""


def attack(service: Service) -> list[Case]:
    """Bring Redis into each state, and restart it."""
    seconds = LONG_S if service.long else SHORT_S
    cases = [_fault(service, name, seconds) for name in FAULTS]
    return [*cases, _restarts(service, RESTARTS if service.long else 2)]


def _fault(service: Service, name: str, seconds: float) -> Case:
    with load(service.base) as tally:
        time.sleep(PAUSE_S)
        with FAULTS[name](service.stack):
            time.sleep(seconds)
        service.wait_until_it_answers()
    return _case(f"Redis: {name} for {seconds:.0f} s", tally=tally)


def _restarts(service: Service, count: int) -> Case:
    with load(service.base) as tally:
        for _ in range(count):
            time.sleep(PAUSE_S)
            service.stack.restart_redis()
        service.wait_until_it_answers()
    return _case(f"Redis killed and started {count} times", tally=tally)


def _case(name: str, tally: Tally) -> Case:
    longest = max(tally.seconds, default=0)
    return Case(name, tally, f"longest {longest:.1f} s", tally.complaints(name))
