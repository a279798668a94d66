"""Images with changed bytes, and image URLs that lead where they must not."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Thread

from benchmarks.prove.background import probes
from benchmarks.prove.clients import JSON, Reply, Shot, connect, send
from benchmarks.prove.report import Case
from benchmarks.prove.service import Service
from tests.api.http.private_hosts import LOOPBACK_SPELLINGS, OTHER_PRIVATE
from tests.api.http.web_server import Site
from tests.shared.images.fuzz import mutated_files
from tests.stack import API

CLIENTS = 8
SEED = 12
PATH = f"{API}/caption/fake"


def attack(service: Service) -> list[Case]:
    """Send mutated images, and URLs of private addresses."""
    return [_mutated(service, 3000 if service.long else 150), _private(service)]


def _mutated(service: Service, count: int) -> Case:
    headers = {"Content-Type": "application/octet-stream"}
    shots = [Shot(PATH, headers, data, "") for data in mutated_files(count, SEED)]
    before = service.model_process().pid
    with probes(service.base) as found:
        replies = _send_all(service, shots)
    statuses = Counter(reply.status for reply in replies)
    what = f"{count:,} mutated images"
    notes = ", ".join(f"{n} with {status}" for status, n in sorted(statuses.items()))
    complaints = found.innocent.complaints(what)
    complaints += [f"{what}: {r.status} {r.text[:120]}" for r in replies if r.status not in _FINE]
    if service.model_process().pid != before:
        complaints.append(f"{what}: the model process was replaced")
    return Case(what, found.innocent, notes, complaints[:5])


def _private(service: Service) -> Case:
    with Site() as site:
        serving = Thread(target=site.serve_forever, args=(0.02,))
        serving.start()
        urls = [
            f"{scheme}://{host}:{site.server_port}/image"
            for scheme in ("http", "https")
            for host in (*LOOPBACK_SPELLINGS, *OTHER_PRIVATE)
        ]
        shots = [Shot(PATH, JSON, json.dumps({"url": url}).encode(), "") for url in urls]
        replies = _send_all(service, shots)
        connections = site.connections
        site.shutdown()
        serving.join()
    what = f"{len(urls)} image URLs of private addresses"
    wrong = [f"{what}: {r.status} {r.text[:120]}" for r in replies if r.status != 502]
    if connections:
        wrong.append(f"{what}: {connections} were fetched")
    return Case(what, None, f"{connections} fetched", wrong[:5])


_FINE = frozenset({200, 400, 413, 422, 429})


def _send_all(service: Service, shots: list[Shot]) -> list[Reply]:
    def one(shot: Shot) -> Reply:
        with closing(connect(service.base)) as connection:
            return send(connection, shot)

    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(one, shots))
