"""``X-Priority: bulk``: persons are answered first, and bulk work is answered all the same."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.conftest import data_url, plain
from tests.stack import API, Stack, running_stack, wait_for

MODEL = "crowded"
BATCH = 4
HELD = 2 * BATCH
"""Of each lane: a batch that runs, and the next one."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A Redis of our own, where nobody else asks the model."""
    with running_stack(tmp_path_factory.mktemp("priority")) as running:
        yield running


@pytest.fixture(scope="module")
def path(stack: Stack) -> str:
    return f"{stack.api(VISION_REQUEST_SLOTS='256')}{API}/caption/{MODEL}"


def ask(path: str, name: str, priority: str = "person") -> requests.Response:
    body = {"id": name, "images": [data_url(plain(7))]}
    headers = {"X-Priority": priority} if priority != "person" else {}
    return requests.post(path, json=body, headers=headers, timeout=300)


def answered(stack: Stack) -> list[str]:
    """The ids of the requests in the order in which the worker has answered them."""
    lines = stack.processes.logs(f"worker-{MODEL}").splitlines()
    jobs = [json.loads(line) for line in lines if '"event": "job"' in line]
    return [job["request_id"] for job in jobs if job["status"] == "done"]


@pytest.mark.slow
def test_a_persons_request_is_in_the_next_batch_while_200_bulk_requests_wait(
    stack: Stack, path: str
) -> None:
    with ThreadPoolExecutor(201) as pool:
        with stack.suspended(MODEL):
            bulk = [pool.submit(ask, path, f"bulk-{n}", "bulk") for n in range(200)]
            wait_for("the queue", lambda: stack.presence(MODEL).queued_bulk == 200 - HELD)
            person = pool.submit(ask, path, "person")
            stack.wait_held(MODEL, HELD + 1)  # although it holds as much bulk work as it may
        assert person.result().status_code == 200
        assert {reply.result().status_code for reply in bulk} == {200}
    order = answered(stack)
    assert order.index("person") <= BATCH  # behind no batch but the one that ran
    assert sorted(order) == sorted(["person", *(f"bulk-{n}" for n in range(200))])


@pytest.mark.slow
def test_bulk_work_goes_on_while_persons_keep_coming(stack: Stack, path: str) -> None:
    stack.worker(MODEL)
    is_over = threading.Event()

    def keep_asking(client: int) -> None:
        while not is_over.is_set():
            assert ask(path, f"client-{client}").status_code == 200

    with ThreadPoolExecutor(4 * BATCH + 3) as pool:
        clients = [pool.submit(keep_asking, client) for client in range(4 * BATCH)]
        stack.wait_held(MODEL, HELD)  # more than enough for each batch
        try:
            replies = list(pool.map(lambda n: ask(path, f"between-{n}", "bulk"), range(3)))
        finally:
            is_over.set()
        assert [reply.status_code for reply in replies] == [200] * 3
        for client in clients:
            client.result()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sig", "comes_back"),
    # A worker that stops keeps the request that runs: a bulk one, which came first.
    [(signal.SIGKILL, (2, 4)), (signal.SIGTERM, (2, 3))],
    ids=["killed", "stopped"],
)
def test_what_a_worker_held_comes_back_in_its_lane(
    tmp_path: Path, sig: signal.Signals, comes_back: tuple[int, int]
) -> None:
    long_grace = {"VISION_RESTART_GRACE_S": "120"}  # until the next worker has started
    with running_stack(tmp_path, **long_grace) as stack, ThreadPoolExecutor(6) as pool:
        path = f"{stack.api()}{API}/caption/{MODEL}"
        replies = []
        with stack.suspended(MODEL):
            for held, priority in enumerate([*["bulk"] * 4, *["person"] * 2]):
                replies.append(pool.submit(ask, path, f"{held}", priority))
                stack.wait_held(MODEL, held + 1)
            worker = stack.status(MODEL).worker.removeprefix(f"{MODEL}-").partition("@")[0]
            os.kill(int(worker), sig)
            wait_for("what it held", lambda: lanes(stack) == comes_back)
        stack.another_worker(MODEL)
        assert [reply.result().status_code for reply in replies] == [200] * 6


def lanes(stack: Stack) -> tuple[int, int]:
    presence = stack.presence(MODEL)
    return presence.queued, presence.queued_bulk


@pytest.mark.parametrize(
    "door",
    [
        f"{API}/caption/fake",
        f"{API}/labels",
        "/api/generate",
        "/api/chat",
        "/v1/chat/completions",
        "/v1/responses",
    ],
)
def test_an_unknown_priority_is_refused_with_those_that_there_are(path: str, door: str) -> None:
    base = path.removesuffix(f"{API}/caption/{MODEL}")
    reply = requests.post(base + door, json={}, headers={"X-Priority": "urgent"}, timeout=30)
    assert reply.status_code == 400
    assert "`X-Priority` is neither `person` nor `bulk`." in reply.text


@pytest.mark.parametrize("door", ["vision", "ollama", "openai"])
def test_every_door_puts_bulk_work_into_its_lane(stack: Stack, path: str, door: str) -> None:
    base = path.removesuffix(f"{API}/caption/{MODEL}")
    image = data_url(plain(7))
    encoded = image.partition(",")[2]
    parts = [{"type": "image_url", "image_url": {"url": image}}]
    route, body = {
        "vision": (f"{API}/caption/unserved", {"images": [image]}),
        "ollama": ("/api/generate", {"model": "unserved", "images": [encoded], "stream": False}),
        "openai": (
            "/v1/chat/completions",
            {"model": "unserved", "messages": [{"role": "user", "content": parts}]},
        ),
    }[door]
    stack.redis.set("vision:seen:unserved", 1, ex=60)  # so that the request waits for a worker
    with ThreadPoolExecutor(1) as pool:
        reply = pool.submit(
            requests.post, base + route, json=body, headers={"X-Priority": "Bulk"}, timeout=60
        )
        wait_for("it to queue", lambda: stack.presence("unserved").queued_bulk)
        assert stack.presence("unserved").queued == 0
        stack.redis.delete(stack.catalog.get("unserved").queue + ":bulk", "vision:seen:unserved")
        assert reply.result().status_code == 503  # lost, and nobody to send it to


@pytest.mark.slow
def test_bulk_work_goes_on_after_the_worker_has_lost_its_connections(
    stack: Stack, path: str
) -> None:
    stack.worker(MODEL)
    for kind in ("normal", "pubsub"):
        stack.redis.client_kill_filter(_type=kind, skipme=True)
    for priority in ("bulk", "person"):
        assert ask(path, f"{priority}-after", priority).status_code == 200


@pytest.mark.slow
def test_bulk_work_at_its_limits_is_429_and_keeps_no_person_out(stack: Stack) -> None:
    small = stack.api(VISION_REQUEST_SLOTS="3", VISION_SLOT_WAIT_S="0")
    path = f"{small}{API}/caption/narrow"  # of each lane two are held, and one queues
    with ThreadPoolExecutor(8) as pool:
        with stack.suspended("narrow"):
            bulk = []
            for held in (1, 2):
                bulk.append(pool.submit(ask, path, f"{held}", "bulk"))
                stack.wait_held("narrow", held)
            bulk.append(pool.submit(ask, path, "queued", "bulk"))
            wait_for("a queue", lambda: stack.presence("narrow").queued_bulk)
            refused = ask(path, "refused", "bulk")
            assert refused.status_code == 429
            assert int(refused.headers["Retry-After"]) > 0
            assert "3 requests are under way here" in refused.json()["error"]
            elsewhere = stack.api()  # whose slots are free
            refused = ask(f"{elsewhere}{API}/caption/narrow", "refused", "bulk")
            assert refused.status_code == 429
            assert "1 bulk request is waiting for narrow" in refused.json()["error"]
            persons = []
            for held in (3, 4):
                persons.append(pool.submit(ask, path, f"{held}"))
                stack.wait_held("narrow", held)
            persons.append(pool.submit(ask, path, "queued"))
            wait_for("a person's queue", lambda: stack.presence("narrow").queued)
        replies = [reply.result() for reply in (*bulk, *persons)]
    assert [reply.status_code for reply in replies] == [200] * 6
