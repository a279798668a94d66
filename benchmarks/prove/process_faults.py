"""Each part of the service is killed, or stopped for a while, under load."""

import signal
import time
from collections.abc import Callable

import psutil

from benchmarks.prove.background import load
from benchmarks.prove.report import Case
from benchmarks.prove.service import Service

BEFORE_S = 1.0
"""Of load before a fault."""
SHORT_STOPS_S, LONG_STOPS_S = (5.0,), (5.0, 30.0)
PARTS: dict[str, Callable[[Service], psutil.Process]] = {
    "the model process": Service.model_process,
    "the worker": Service.worker,
    "the API process": Service.api_process,
    "gunicorn's master": Service.master,
}
MAY_LOSE = frozenset({"the API process", "gunicorn's master"})
"""When these are killed, the connections of the requests under way are closed."""


def attack(service: Service) -> list[Case]:
    """Kill and stop each part."""
    cases = []
    for name, find in PARTS.items():
        cases.append(_killed(service, name, find))
        stops = LONG_STOPS_S if service.long else SHORT_STOPS_S
        cases += [_stopped(service, name, find, seconds) for seconds in stops]
    return cases


def _killed(service: Service, name: str, find: Callable[[Service], psutil.Process]) -> Case:
    with load(service.base) as tally:
        time.sleep(BEFORE_S)
        find(service).kill()
        killed_at = time.monotonic()
        service.wait_until_it_answers()
        back_s = time.monotonic() - killed_at
    complaints = tally.complaints(name)
    if name in MAY_LOSE:
        complaints = [text for text in complaints if ": wrong answer" in text]
    return Case(f"kill -9 of {name}", tally, f"answers again after {back_s:.1f} s", complaints)


def _stopped(
    service: Service, name: str, find: Callable[[Service], psutil.Process], seconds: float
) -> Case:
    with load(service.base) as tally:
        time.sleep(BEFORE_S)
        process = find(service)
        process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        if process.is_running():
            process.send_signal(signal.SIGCONT)
        service.wait_until_it_answers()
    longest = max(tally.seconds, default=0)
    notes = f"longest {longest:.1f} s"
    complaints = tally.complaints(name)
    if name in MAY_LOSE:  # one that is silent for 30 s is replaced
        complaints = [text for text in complaints if ": wrong answer" in text]
    return Case(f"{name} stopped for {seconds:.0f} s", tally, notes, complaints)
