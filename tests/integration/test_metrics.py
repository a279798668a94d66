"""The metrics of a real stack: an API of two processes, and workers."""

import contextlib
import socket
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import requests

from api.metrics_folder import MEMORY
from launcher.ports import LOOPBACK, free_port
from tests.conftest import data_url, plain
from tests.scrape import total
from tests.stack import API, Stack, end, wait_for


@pytest.fixture(scope="module")
def base(stack: Stack) -> str:
    return stack.api(
        VISION_MODELS="fake,unserved",
        VISION_API_PROCESSES="2",
        VISION_REQUEST_SLOTS="1",
        VISION_SLOT_WAIT_S="0",
    )


def post(base: str, model: str) -> int:
    body = {"images": [data_url(plain(1))]}
    return requests.post(f"{base}{API}/caption/{model}", json=body, timeout=60).status_code


def hold_all_slots(pool: ThreadPoolExecutor, base: str, model: str) -> list[Future[int]]:
    """Send requests until both processes, each with one slot, have one in flight."""
    sent: list[Future[int]] = []

    def both_busy() -> bool:
        if sum(not reply.done() for reply in sent) < 2:
            sent.append(pool.submit(post, base, model))
        return total(base, "vision_requests_in_flight") == 2

    wait_for("both processes to be busy", both_busy)
    return sent


@pytest.mark.slow
def test_requests_of_all_processes_are_added_up(stack: Stack, base: str) -> None:
    stack.worker("brief")
    stack.worker("fake")
    assert total(base, "vision_request_slots") == 2
    with ThreadPoolExecutor(2) as pool:
        with stack.suspended("slow"):
            sent = hold_all_slots(pool, base, "slow")
            refused = post(base, "fake")
        codes = [refused, *(reply.result() for reply in sent)]
    assert set(codes) == {429, 200}
    wait_for("free slots", lambda: not total(base, "vision_requests_in_flight"))
    assert total(base, "vision_rejected_total", model="none") == codes.count(429)
    assert [post(base, "brief") for _ in range(2)] == [504] * 2
    assert total(base, "vision_timeouts_total", model="brief") == 2
    assert total(base, "vision_requests_total", model="brief", status="504") == 2
    for _ in range(5):
        assert post(base, "fake") == 200
    labels = {"model": "fake", "task": "caption"}
    assert total(base, "vision_requests_total", status="200", **labels) == 5
    assert total(base, "vision_request_seconds_count", **labels) == 5
    assert total(base, "vision_request_seconds_sum", **labels) > 0


@pytest.mark.slow
def test_a_killed_api_process_leaves_its_counts_but_nothing_in_flight(
    stack: Stack, base: str
) -> None:
    before = total(base, "vision_requests_total")
    with stack.suspended("slow"), ThreadPoolExecutor(2) as pool:
        sent = hold_all_slots(pool, base, "slow")
        children = psutil.Process(stack.api_process.pid).children()
        assert len(children) == 2
        for child in children:
            child.kill()
        for reply in sent:
            with contextlib.suppress(requests.RequestException):
                reply.result()

    def renewed() -> bool:
        # gunicorn cleans up after a process before it starts the next one in its place.
        if len(set(psutil.Process(stack.api_process.pid).children()) - set(children)) < 2:
            return False
        with contextlib.suppress(requests.RequestException):
            return total(base, "vision_request_slots") == 2
        return False

    wait_for("two new processes", renewed)
    assert total(base, "vision_requests_in_flight") == 0
    assert total(base, "vision_requests_total") >= before


def test_queue_and_workers_are_read_at_each_scrape(stack: Stack, base: str) -> None:
    stack.worker("fake")
    assert total(base, "vision_redis_up") == 1
    wait_for("a heartbeat", lambda: total(base, "vision_workers", model="fake") == 1)
    assert total(base, "vision_workers_up", model="fake") == 1
    assert total(base, "vision_workers_up", model="unserved") == 0
    stack.redis.rpush("vision.unserved", "{}", "{}")
    assert total(base, "vision_queue_length", model="unserved") == 2
    stack.redis.delete("vision.unserved")
    assert total(base, "vision_queue_length", model="unserved") == 0


def test_a_client_that_disconnects_is_counted(stack: Stack, base: str) -> None:
    url = urlsplit(base)
    image = plain(1)
    head = (
        f"POST {API}/caption/fake HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
        f"Content-Length: {len(image)}\r\n\r\n"
    )
    address = (str(url.hostname), int(url.port or 0))

    def aborts() -> float:
        return total(base, "vision_client_aborts_total", model="fake")

    with stack.suspended("fake"):
        assert aborts() == 0
        with socket.create_connection(address) as connection:
            connection.sendall(head.encode() + image)
            wait_for("it", lambda: total(base, "vision_requests_in_flight"))
        assert wait_for("the count", aborts) == 1


@pytest.mark.slow
def test_a_task_whose_worker_dies_is_counted_and_answered(stack: Stack, base: str) -> None:
    victim = stack.another_worker("restarting")
    stack.wait_ready("restarting")
    # It accepts the request, but does not answer.
    psutil.Process(stack.status("restarting").model_pid).suspend()
    with ThreadPoolExecutor(1) as pool:
        reply = pool.submit(post, base, "restarting")
        wait_for("it to be taken", lambda: stack.status("restarting").held)
        victim.kill()
        successor = stack.another_worker("restarting")
        assert reply.result() == 200
    end(successor)
    assert total(base, "vision_lost_tasks_total", model="restarting") >= 1


def test_an_api_leaves_no_file_behind(stack: Stack, tmp_path: Path) -> None:
    stack.another_api(VISION_API_PROCESSES="2", TMPDIR=str(tmp_path), HOME=str(tmp_path))
    (folder,) = MEMORY.glob(f"vision-metrics-{stack.api_process.pid}-*")
    assert list(folder.glob("*.db"))
    # Nothing that it needs is on a disk, which may be full.
    assert not list(tmp_path.rglob("*.db"))
    assert end(stack.api_process) == 0
    assert list(tmp_path.iterdir()) == []
    assert not folder.exists()


def test_a_worker_exports_its_metrics_on_its_own_port(stack: Stack, base: str) -> None:
    port = free_port()
    process = stack.another_worker("metered", VISION_METRICS_PORT=str(port))
    stack.wait_ready("metered")
    worker, me = f"http://{LOOPBACK}:{port}", {"model": "metered"}
    for _ in range(3):
        assert post(base, "metered") == 200
    assert total(worker, "vision_worker_images_total", **me) == 3
    assert total(worker, "vision_worker_batch_jobs_count", **me) == 3
    assert total(worker, "vision_worker_batch_jobs_sum", **me) == 3
    assert total(worker, "vision_worker_batch_jobs_bucket", le="1.0", **me) == 3
    assert total(worker, "vision_worker_batch_seconds_count", **me) == 3
    assert total(worker, "vision_worker_model_memory_bytes", **me) > 10e6
    assert total(worker, "vision_worker_model_memory_peak_bytes", **me) > 10e6
    assert total(worker, "vision_worker_model_memory_limit_bytes", **me) > 10e6
    assert total(worker, "vision_worker_batch_limit", **me) == 8
    assert total(worker, "vision_worker_batch_limit_cause", cause="cpu", **me) == 1
    assert total(worker, "vision_worker_device_info", device="CPU", **me) == 1
    assert total(worker, "vision_worker_job_seconds_total", phase="prepare", **me) > 0
    assert total(worker, "vision_worker_prepare_seconds", **me) > 0
    assert 0 <= total(worker, "vision_worker_utilisation", **me) < 1
    assert total(worker, "vision_worker_load_seconds", **me) > 0
    assert total(worker, "vision_worker_loads_total", **me) == 1
    assert total(worker, "vision_worker_state", **me) == 1
    assert requests.post(f"{base}{API}/models/metered/recycle", timeout=30).status_code == 200
    wait_for("a new process", lambda: total(worker, "vision_worker_loads_total") == 2)
    assert total(worker, "vision_worker_recycles_total", reason="operator") == 1
    assert total(worker, "vision_worker_recycles_total", reason="crash") == 0
    end(process)


@pytest.mark.slow
def test_a_worker_whose_port_is_taken_serves_without_metrics(stack: Stack, base: str) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        worker = stack.another_worker("metered", VISION_METRICS_PORT=str(port))
        stack.wait_ready("metered")
    assert post(base, "metered") == 200
    end(worker)
    assert "cannot serve metrics" in stack.processes.logs("worker-metered")
