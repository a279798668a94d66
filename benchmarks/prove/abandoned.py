"""Clients that hang up: how many inferences run for nobody."""

import json
import time
from http.client import HTTPConnection

from benchmarks.prove.clients import JSON, connect
from benchmarks.prove.leftovers import leftovers
from benchmarks.prove.report import Case
from benchmarks.prove.service import SLOW, Service
from tests.conftest import data_url, plain
from tests.stack import API, wait_for

COUNT = 30
"""Fewer than there are request slots."""
HELD_S = 1.0
"""How long the clients wait before they hang up."""
MOST = 6
"""Inferences for nobody that are accepted: those before the clients hung up, and a few after."""


def attack(service: Service) -> list[Case]:
    """Send requests to a slow model, and close the connections before it answers."""
    before = _images(service)
    body = json.dumps({"images": [data_url(plain(9))]})
    clients = [_asking(service.base, body) for _ in range(COUNT)]
    time.sleep(HELD_S)
    for client in clients:
        client.close()
    wait_for(
        "the end of all requests", lambda: not leftovers(service.stack.redis, of_killed_api=False)
    )
    ran = _images(service) - before
    what = f"{COUNT} requests of clients that hang up after {HELD_S:.0f} s"
    wrong = [f"{what}: {ran} inferences ran for nobody"] if ran > MOST else []
    return [Case(what, None, f"{ran} inferences", wrong)]


def _asking(base: str, body: str) -> HTTPConnection:
    client = connect(base)
    client.request("POST", f"{API}/caption/{SLOW}", body, JSON)
    return client


def _images(service: Service) -> int:
    return sum(worker.images for worker in service.stack.presence(SLOW).workers)
