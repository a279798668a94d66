"""The queue between API and workers: deadlines, hang-ups, overload, restarts, lost workers."""

import base64
import contextlib
import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
import requests

from tests.conftest import data_url, plain
from tests.stack import API, Stack, end, wait_for


@pytest.fixture(scope="module")
def base(stack: Stack, api: str) -> str:
    stack.worker("fake")
    return api + API


def ask(path: str, /, red: int = 1, timeout: float = 60, **body: Any) -> requests.Response:
    return requests.post(path, json={"images": [data_url(plain(red))], **body}, timeout=timeout)


def leftovers(stack: Stack) -> list[str]:
    """Keys of requests that are over: images, results, leases, queues, unacknowledged messages."""
    found: list[Any] = stack.redis.keys("*")
    keys = [key.decode() for key in found]
    lasting = ("vision:worker", "vision:seen:", "_kombu.", "vision:cancelled:")
    return [key for key in keys if not key.startswith(lasting)]


def jobs_of(stack: Stack, model: str, request_id: str) -> list[str]:
    """What the model's workers logged of a request: ``done``, ``dropped`` or an error."""
    return [
        json.loads(line)["status"]
        for line in stack.processes.logs(f"worker-{model}").splitlines()
        if line.startswith("{") and request_id in line and '"event": "job"' in line
    ]


def is_with_celery(stack: Stack, model: str, request_id: str) -> bool:
    """Whether a message of the request is on the queue, or with a worker and not acknowledged."""
    queued: list[Any] = stack.redis.lrange(f"vision.{model}", 0, -1)
    held: list[Any] = stack.redis.hvals("unacked")
    return any(request_id.encode() in message for message in (*queued, *held))


@contextlib.contextmanager
def background(path: str, **body: Any) -> Iterator["list[requests.Response]"]:
    """Send a request in a thread; the list holds its reply once the block is left."""
    replies: list[requests.Response] = []
    thread = threading.Thread(target=lambda: replies.append(ask(path, **body)))
    thread.start()
    yield replies
    thread.join()


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


@pytest.mark.slow
def test_a_worker_that_is_just_restarting_is_waited_for(stack: Stack, base: str) -> None:
    first = stack.another_worker("restarting")
    stack.wait_ready("restarting")
    end(first)
    assert stack.presence("restarting").workers == ()
    with background(f"{base}/caption/restarting", red=77) as replies:
        wait_for("a queued request", lambda: stack.presence("restarting").queued or None, 5)
        second = stack.another_worker("restarting")
    assert replies[0].json()["result"]["caption"]["text"] == "rgb 77 0 0"
    end(second)


@pytest.mark.slow
@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stalled"])
def test_requests_of_a_lost_worker_are_taken_over(
    stack: Stack, base: str, sig: signal.Signals
) -> None:
    first = stack.another_worker("restarting")
    stack.wait_ready("restarting")
    with ThreadPoolExecutor(4) as pool:
        replies = [pool.submit(ask, f"{base}/caption/restarting", n) for n in range(40, 44)]
        wait_for("a lease", lambda: stack.redis.keys("vision:lease:*") or None, 5)
        first.send_signal(sig)
        second = stack.another_worker("restarting")
        texts = [reply.result().json()["result"]["caption"]["text"] for reply in replies]
    assert texts == [f"rgb {n} 0 0" for n in range(40, 44)]
    if sig == signal.SIGSTOP:
        first.send_signal(signal.SIGCONT)
    end(first)
    end(second)


def test_a_killed_worker_leaves_no_model_process(stack: Stack) -> None:
    worker = stack.another_worker("restarting")
    stack.wait_ready("restarting")
    children = psutil.Process(worker.pid).children(recursive=True)
    assert children
    end(worker, signal.SIGKILL)
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []


@pytest.mark.slow
def test_a_restart_of_redis_fails_no_request(stack: Stack, base: str) -> None:
    stack.worker("slow")
    assert ask(f"{base}/caption/slow").status_code == 200
    with ThreadPoolExecutor(3) as pool:
        replies = [pool.submit(ask, f"{base}/caption/slow", n) for n in (60, 61, 62)]
        wait_for("a lease", lambda: stack.redis.keys("vision:lease:*") or None, 5)
        stack.restart_redis()
        answers = [reply.result() for reply in replies]
    assert [a.status_code for a in answers] == [200] * 3, [a.text for a in answers]
    assert [a.json()["result"]["caption"]["text"] for a in answers] == [
        f"rgb {n} 0 0" for n in (60, 61, 62)
    ]


@pytest.mark.slow
def test_without_redis_requests_are_503_and_readyz_says_so(stack: Stack, base: str) -> None:
    lonely = stack.api(VISION_REDIS_URL="redis://127.0.0.1:1/0")
    started = time.monotonic()
    assert ask(f"{lonely}{API}/caption/fake").status_code == 503
    assert requests.get(f"{lonely}/readyz", timeout=5).status_code == 503
    assert requests.get(f"{lonely}/livez", timeout=5).status_code == 200
    assert requests.get(f"{lonely}{API}/models", timeout=5).status_code == 503
    assert time.monotonic() - started < 20


def test_many_requests_at_once_are_all_answered_and_none_is_crossed(base: str) -> None:
    with ThreadPoolExecutor(32) as pool:
        replies = list(pool.map(lambda n: ask(f"{base}/caption/fake", n % 256), range(96)))
    texts = [reply.json()["result"]["caption"]["text"] for reply in replies]
    assert texts == [f"rgb {n % 256} 0 0" for n in range(96)]


@pytest.mark.slow
def test_requests_that_wait_their_turn_are_not_taken_for_lost(stack: Stack, base: str) -> None:
    stack.worker("slow")
    with ThreadPoolExecutor(12) as pool:
        replies = list(
            pool.map(lambda n: ask(f"{base}/caption/slow", n, id=f"turn-{n}"), range(12))
        )
    assert [reply.status_code for reply in replies] == [200] * 12
    assert [jobs_of(stack, "slow", f'turn-{n}"') for n in range(12)] == [["done"]] * 12


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault", ["parameters: {load_error: no luck}", "parameters: {crash_on_red: 7}"]
)
def test_a_broken_replica_costs_no_request_while_a_good_one_is_there(
    stack: Stack, base: str, fault: str
) -> None:
    good = stack.another_worker("restarting")
    stack.wait_ready("restarting")
    catalog = stack.processes.folder / "broken.yaml"
    row = f"{{name: restarting, family: fake, {fault}, engine: {{max_failures: 1}}}}"
    catalog.write_text(f"models: [{row}]")
    bad = stack.another_worker("restarting", VISION_CATALOG=str(catalog))
    stack.wait_ready("restarting", 2)
    with ThreadPoolExecutor(24) as pool:
        path = f"{base}/caption/restarting"
        replies = list(pool.map(lambda n: ask(path, 7, id=f"{n}"), range(48)))
    assert [reply.status_code for reply in replies] == [200] * 48
    assert any(worker.last_error for worker in stack.presence("restarting").workers)
    end(bad)
    end(good)


def test_no_image_bytes_are_in_any_log(stack: Stack, base: str) -> None:
    image = data_url(plain(123, 45, 67))
    requests.post(f"{base}/caption/fake", json={"images": [image]}, timeout=10)
    payload = image.partition(",")[2][40:80]
    assert payload not in stack.processes.logs("api") + stack.processes.logs("worker-fake")
