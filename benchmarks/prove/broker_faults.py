"""Redis is in each state in which it does not serve, under load."""

import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.prove.background import load
from benchmarks.prove.clients import Tally
from benchmarks.prove.report import Case
from benchmarks.prove.service import Service, running_service
from tests.redis_faults import FAULTS
from tests.stalling_proxy import StallingProxy

SHORT_S, LONG_S = 3.0, 8.0
"""How long a fault lasts: the long time is longer than a heartbeat and a lease."""
RESTARTS = 15
PAUSE_S = 2.0
"""Between two restarts."""


def attack(service: Service) -> list[Case]:
    """Bring Redis into each state, and restart it."""
    seconds = LONG_S if service.long else SHORT_S
    cases = [_fault(service, name, seconds) for name in FAULTS]
    return [*cases, _restarts(service, RESTARTS if service.long else 2), _half_open()]


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


def _half_open() -> Case:
    """All connections to Redis go dead without an error, as behind a firewall that forgets them."""
    proxies: list[StallingProxy] = []

    def front(port: int) -> int:
        proxies.append(StallingProxy(port, b""))
        after.callback(proxies[0].close)  # the service needs it until it ends
        return proxies[0].port

    with (
        tempfile.TemporaryDirectory() as folder,
        ExitStack() as after,
        running_service(Path(folder), long=False, front=front) as service,
    ):
        with load(service.base) as tally:
            time.sleep(PAUSE_S)
            proxies[0].cut_off()
            service.wait_until_it_answers()
        return _case("half-open connections to Redis", tally=tally)


def _case(name: str, tally: Tally) -> Case:
    longest = max(tally.seconds, default=0)
    return Case(name, tally, f"longest {longest:.1f} s", tally.complaints(name))
