"""The queue between API and workers: deadlines, hang-ups, overload, restarts, lost workers."""

import base64
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.conftest import data_url, plain
from tests.integration.client import ask, background, jobs_of
from tests.stack import API, Stack, wait_for


@pytest.fixture(scope="module")
def base(stack: Stack, api: str) -> str:
    stack.worker("fake")
    return api + API


def leftovers(stack: Stack) -> list[str]:
    """Keys of requests that are over: images, results, leases, queues, unacknowledged messages."""
    found: list[Any] = stack.redis.keys("*")
    keys = [key.decode() for key in found]
    lasting = ("vision:worker", "vision:seen:", "_kombu.", "vision:cancelled:")
    return [key for key in keys if not key.startswith(lasting)]


def is_with_celery(stack: Stack, model: str, request_id: str) -> bool:
    """Whether a message of the request is on the queue, or with a worker and not acknowledged."""
    queued: list[Any] = stack.redis.lrange(f"vision.{model}", 0, -1)
    held: list[Any] = stack.redis.hvals("unacked")
    return any(request_id.encode() in message for message in (*queued, *held))


def test_nothing_of_a_request_is_left_in_redis(stack: Stack, base: str) -> None:
    assert ask(f"{base}/caption/fake").status_code == 200
    # Leases run out by themselves, within seconds.
    wait_for("clean Redis", lambda: None if leftovers(stack) else True, 6)


def test_options_that_no_model_of_ours_knows_stay_off_the_queue(stack: Stack, base: str) -> None:
    stack.redis.set("vision:seen:unserved", 1, ex=60)  # so that the request waits for a worker
    options = {"seed": 5, "num_ctx": 4096, "strange": "x" * 1_000_000}
    queue = stack.catalog.get("unserved").queue
    with pytest.raises(requests.Timeout):
        ask(f"{base}/caption/unserved", timeout=1, options=options)
    (message,) = stack.redis.lrange(queue, 0, -1)
    stack.redis.delete(queue, "vision:seen:unserved")
    (_, kwargs, _) = json.loads(base64.b64decode(json.loads(message)["body"]))
    assert kwargs["job"]["options"] == {"seed": 5}
    assert len(message) < 10_000


def test_a_deadline_that_passes_is_504_and_its_task_is_dropped(stack: Stack, base: str) -> None:
    stack.worker("brief")
    with background(f"{base}/caption/brief", id="first-in-line"):
        wait_for("a lease", lambda: stack.redis.keys("vision:lease:*") or None, 5)
        # Both threads of the worker hold a task, the model works on one: the rest waits too long.
        with ThreadPoolExecutor(3) as pool:
            late = list(pool.map(lambda n: ask(f"{base}/caption/brief", id=f"late-{n}"), range(3)))
    assert [reply.status_code for reply in late] == [504] * 3
    assert "no result in time" in late[0].json()["error"]
    wait_for("the queue to empty", lambda: stack.presence("brief").queued == 0 or None, 20)
    # One more, answered after all that came before it: none of those was run.
    wait_for("an idle worker", lambda: None if stack.redis.hlen("unacked") else True, 20)
    done = [status for n in range(3) for status in jobs_of(stack, "brief", f"late-{n}")]
    assert "done" not in done


def test_a_client_that_hangs_up_costs_no_worker_any_time(stack: Stack, base: str) -> None:
    stack.worker("slow")
    host, port = urlsplit(base).hostname, urlsplit(base).port
    body = json.dumps({"images": [data_url(plain(5))], "id": "hung-up"}).encode()
    head = (
        f"POST {API}/caption/slow HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with ThreadPoolExecutor(4) as pool:
        others = [pool.submit(ask, f"{base}/caption/slow") for _ in range(4)]
        wait_for("a queue", lambda: stack.presence("slow").queued or None, 10)
        with socket.create_connection((str(host), int(port or 0))) as connection:
            connection.sendall(head.encode() + body)
            wait_for("it to queue", lambda: is_with_celery(stack, "slow", "hung-up") or None, 10)
        assert [reply.result().status_code for reply in others] == [200] * 4
    # Asked after it in the same queue, so when this is answered the abandoned one had its turn.
    assert ask(f"{base}/caption/slow").status_code == 200
    assert "done" not in jobs_of(stack, "slow", "hung-up")
    assert '"status": 499' in stack.processes.logs("api")


def test_a_queue_at_its_limit_is_429_with_retry_after(stack: Stack, base: str) -> None:
    stack.worker("narrow")
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(ask, f"{base}/caption/narrow") for _ in range(3)]
        wait_for("a queue", lambda: stack.presence("narrow").queued or None, 10)
        refused = ask(f"{base}/caption/narrow")
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) > 0
        assert "wait for narrow" in refused.json()["error"]
        assert [reply.result().status_code for reply in waiting] == [200] * 3


def test_full_slots_are_429_while_health_routes_still_answer(stack: Stack) -> None:
    stack.worker("slow")
    small = stack.api(VISION_REQUEST_SLOTS="2")
    with ThreadPoolExecutor(12) as pool:
        replies = [pool.submit(ask, f"{small}{API}/caption/slow") for _ in range(12)]
        wait_for("a full API", lambda: any(r.done() for r in replies) or None, 10)
        assert requests.get(f"{small}/livez", timeout=2).ok
        assert requests.get(f"{small}/readyz", timeout=2).ok
        codes = sorted(reply.result().status_code for reply in replies)
    assert codes.count(200) == 2
    assert codes.count(429) == 10


def test_many_requests_at_once_are_all_answered_and_none_is_crossed(base: str) -> None:
    with ThreadPoolExecutor(32) as pool:
        replies = list(pool.map(lambda n: ask(f"{base}/caption/fake", n % 256), range(96)))
    texts = [reply.json()["result"]["caption"]["text"] for reply in replies]
    assert texts == [f"rgb {n % 256} 0 0" for n in range(96)]


def test_no_image_bytes_are_in_any_log(stack: Stack, base: str) -> None:
    image = data_url(plain(123, 45, 67))
    requests.post(f"{base}/caption/fake", json={"images": [image]}, timeout=10)
    payload = image.partition(",")[2][40:80]
    assert payload not in stack.processes.logs("api") + stack.processes.logs("worker-fake")
