"""A reply says who answered, and where the time went: waiting, decoding, and in the model."""

import re
import socket

import requests

from tests.conftest import data_url
from tests.integration.client import post
from tests.stack import API, Stack

ENTRY = re.compile(r'(\w+);desc="([^"]+)";dur=([\d.]+)')


def timing(reply: requests.Response) -> dict[str, dict[str, float]]:
    """Return milliseconds by model and phase."""
    found: dict[str, dict[str, float]] = {}
    for phase, model, ms in ENTRY.findall(reply.headers["Server-Timing"]):
        found.setdefault(model, {})[phase] = float(ms)
    return found


def test_the_model_s_time_is_told_and_all_else_counts_as_waiting(stack: Stack, api: str) -> None:
    stack.worker("slow")
    reply = post(f"{api}{API}/caption/slow")
    (spent,) = timing(reply).values()
    assert set(spent) == {"queue", "prepare", "predict"}
    assert spent["predict"] >= 600  # what the row's model sleeps for each batch
    assert sum(spent.values()) <= 1000 * reply.elapsed.total_seconds()


def test_each_model_of_a_request_has_its_times(stack: Stack, api: str, cat: bytes) -> None:
    stack.worker("efficientnet-lite0")
    stack.worker("opennsfw")
    reply = requests.post(f"{api}{API}", json={"images": [data_url(cat)]}, timeout=60)
    spent = timing(reply)
    assert set(spent) == {"efficientnet-lite0", "opennsfw"}
    assert all(phases["predict"] > 0 for phases in spent.values())
    assert reply.headers["X-Worker-Host"] == socket.gethostname()


def test_a_page_of_another_origin_may_read_it(stack: Stack, api: str, cat: bytes) -> None:
    stack.worker("fake")
    origin = {"Origin": "http://localhost:3000"}
    body = {"images": [data_url(cat)]}
    reply = requests.post(f"{api}{API}/caption/fake", json=body, headers=origin, timeout=60)
    assert "Server-Timing" in reply.headers["Access-Control-Expose-Headers"]
