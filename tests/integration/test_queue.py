"""The queue between API and workers: deadlines, disconnected clients, overload."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.conftest import data_url, plain
from tests.integration.client import full_queue, job_statuses, post, wait_abandoned
from tests.raw_http import caption_request, connect
from tests.stack import API, Stack, wait_for


@pytest.fixture(scope="module")
def base(stack: Stack, api: str) -> str:
    stack.worker("fake")
    return api + API


def keys(stack: Stack) -> set[str]:
    """The keys in Redis, but for those that workers and cancelled requests have for a while."""
    found: list[Any] = stack.redis.keys("*")
    lasting = ("vision:worker", "vision:alive:", "vision:seen:", "_kombu.", "vision:cancelled:")
    return {name for key in found if not (name := key.decode()).startswith(lasting)}


def test_nothing_of_a_request_is_left_in_redis(stack: Stack, base: str) -> None:
    before = keys(stack)  # such as reports of runs, which are kept for ten minutes
    assert post(f"{base}/caption/fake").status_code == 200
    wait_for(lambda: f"an end of {keys(stack) - before}", lambda: keys(stack) <= before)


def test_options_that_only_ollama_knows_are_not_put_on_our_own_queues(
    stack: Stack, base: str
) -> None:
    stack.redis.set("vision:seen:unserved", 1, ex=60)  # so that the request waits for a worker
    options = {"seed": 5, "num_ctx": 4096, "strange": "x" * 1_000_000}
    queue = stack.catalog.get("unserved").queue
    path, known = f"{API}/caption/unserved", "X-Request-ID: only-for-ollama"
    with connect(base) as line:
        line.sendall(caption_request(path, known, options=options))
        wait_for("it to queue", lambda: stack.redis.llen(queue))
    wait_abandoned(stack, "only-for-ollama")
    (message,) = stack.redis.lrange(queue, 0, -1)
    stack.redis.delete(queue, "vision:seen:unserved")
    (_, kwargs, _) = json.loads(json.loads(message)["body"])
    assert kwargs["job"]["options"] == {"seed": 5}
    assert len(message) < 10_000


def test_a_deadline_that_passes_is_504_and_its_task_is_dropped(stack: Stack, base: str) -> None:
    hasty = f"{stack.api(VISION_TIMEOUT='1.5')}{API}/caption/steady"
    with ThreadPoolExecutor(7) as pool:
        with stack.suspended("steady"):
            first = pool.submit(post, f"{base}/caption/steady")
            stack.wait_held("steady", 1)
            # The worker holds four tasks, of which one runs: the others wait too long.
            late = list(pool.map(lambda n: post(hasty, id=f"late-{n}"), range(6)))
        assert first.result().status_code == 200
    assert [reply.status_code for reply in late] == [504] * 6
    assert "no result in time" in late[0].json()["error"]
    wait_for("the queue to empty", lambda: stack.presence("steady").queued == 0)
    # When the worker is idle, each of them was taken off the queue, and none was run.
    stack.wait_held("steady", 0)
    done = [status for n in range(6) for status in job_statuses(stack, "steady", f"late-{n}")]
    assert "done" not in done


def test_a_request_whose_client_disconnects_takes_no_worker_time(stack: Stack, base: str) -> None:
    with ThreadPoolExecutor(2) as pool:
        with stack.suspended("slow"):
            others = [pool.submit(post, f"{base}/caption/slow") for _ in range(2)]
            stack.wait_held("slow", 2)
            with connect(base) as line:
                line.sendall(caption_request(f"{API}/caption/slow", id="disconnected"))
                wait_for("it to queue", lambda: stack.presence("slow").queued)
            wait_abandoned(stack, "disconnected")
        assert [reply.result().status_code for reply in others] == [200] * 2
    # This one is queued behind the abandoned one: its reply shows that that was taken.
    assert post(f"{base}/caption/slow").status_code == 200
    assert job_statuses(stack, "slow", "disconnected") == ["dropped"]


def test_a_queue_at_its_limit_is_429_with_retry_after(stack: Stack, base: str) -> None:
    def ask() -> requests.Response:
        return post(f"{base}/caption/narrow")

    with full_queue(stack, ask) as waiting:
        refused = ask()
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0
    assert "waiting for narrow" in refused.json()["error"]
    assert [reply.result().status_code for reply in waiting] == [200] * 3


def test_full_slots_are_429_while_health_routes_still_answer(stack: Stack) -> None:
    small = stack.api(VISION_REQUEST_SLOTS="2", VISION_SLOT_WAIT_S="0")
    with ThreadPoolExecutor(12) as pool:
        with stack.suspended("slow"):
            replies = [pool.submit(post, f"{small}{API}/caption/slow") for _ in range(12)]
            wait_for("the refusals", lambda: sum(reply.done() for reply in replies) == 10)
            assert requests.get(f"{small}/livez", timeout=10).ok
            assert requests.get(f"{small}/readyz", timeout=10).ok
        codes = sorted(reply.result().status_code for reply in replies)
    assert codes.count(200) == 2
    assert codes.count(429) == 10


def test_many_concurrent_requests_all_get_their_own_results(base: str) -> None:
    with ThreadPoolExecutor(32) as pool:
        replies = list(pool.map(lambda n: post(f"{base}/caption/fake", n % 256), range(96)))
    texts = [reply.json()["result"]["caption"]["text"] for reply in replies]
    assert texts == [f"rgb {n % 256} 0 0" for n in range(96)]


def test_no_image_bytes_are_in_any_log(stack: Stack, base: str) -> None:
    image = data_url(plain(123, 45, 67))
    requests.post(f"{base}/caption/fake", json={"images": [image]}, timeout=10)
    payload = image.partition(",")[2][40:80]
    assert payload not in stack.processes.logs("api") + stack.processes.logs("worker-fake")
