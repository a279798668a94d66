"""Faults in and around a model process, through the whole stack. Slow."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import yaml

from shared.catalog import Catalog
from tests.conftest import data_url, plain
from tests.stack import API, UP_S, Stack, end, running_stack, wait_for
from tests.stalling_proxy import StallingProxy
from workers.consumer.heartbeat import EXIT_STALLED

pytestmark = pytest.mark.slow

ROWS: dict[str, dict[str, Any]] = {
    "counted": {"engine": {"recycle_images": 5}},
    "leaking": {"parameters": {"leak_mb": 10}, "engine": {"recycle_growth_mb": 50}},
    "slowing": {
        "parameters": {"predict_s": 0.01, "slower": 0.2},
        "engine": {"slow_factor": 2, "slow_batches": 3},
    },
    "cramped": {"parameters": {"predict_s": 0.2, "out_of_memory_above": 4}},
    "faulty": {"parameters": {"device_fault_on_red": 9}},
    "idle": {"engine": {"keep_alive_s": 0.5}},
    "doomed": {"parameters": {"crash_on_red": 9}, "engine": {"max_failures": 2}},
    "attacked": {"parameters": {"crash_on_red": 9, "predict_s": 0.05}},
    "lengthy": {
        "parameters": {"hang_on_red": 9, "hang_s": 13},
        "engine": {"max_batch": 1},
        "limits": {"timeout_s": 240},
    },
    "plain": {},
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose models have one fault each."""
    folder = tmp_path_factory.mktemp("faults")
    catalog = folder / "models.yaml"
    rows = [{"name": name, "family": "fake", **deepcopy(row)} for name, row in ROWS.items()]
    broken = next(row["parameters"] for row in rows if row["name"] == "doomed")
    broken["all_red_while"] = str(folder / "broken")
    catalog.write_text(yaml.safe_dump({"models": rows}))
    (folder / "broken").write_text("9")
    settings = {"VISION_CATALOG": str(catalog), "VISION_MODELS": "doomed"}
    with running_stack(folder, **settings) as running:
        running.catalog = Catalog.load(catalog)
        yield running


@pytest.fixture(scope="module")
def api(stack: Stack) -> str:
    return stack.api()


def ask(api: str, model: str, red: int, **body: Any) -> requests.Response:
    whole = {"images": [data_url(plain(red))], **body}
    return requests.post(f"{api}{API}/caption/{model}", json=whole, timeout=240)


def worker_of(api: str, model: str) -> dict[str, Any]:
    models = requests.get(f"{api}{API}/models", timeout=10).json()["models"]
    (worker,) = next(entry for entry in models if entry["name"] == model)["workers"]
    return dict(worker)


@pytest.mark.parametrize(
    ("model", "why"), [("counted", "count"), ("leaking", "memory"), ("slowing", "slow")]
)
def test_wear_replaces_the_process_and_fails_no_request(
    stack: Stack, api: str, model: str, why: str
) -> None:
    stack.worker(model)

    def worn() -> bool:
        assert ask(api, model, 1).status_code == 200
        return bool(worker_of(api, model)["recycles"].get(why))

    wait_for("a recycle", worn)
    assert ask(api, model, 2).json()["result"]["caption"]["text"] == "rgb 2 0 0"


def test_running_out_of_memory_makes_batches_smaller_and_fails_no_request(
    stack: Stack, api: str
) -> None:
    stack.worker("cramped")
    with ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(lambda red: ask(api, "cramped", red), range(48)))
    assert [reply.status_code for reply in replies] == [200] * 48
    worker = wait_for("its state", lambda: _in_state(worker_of(api, "cramped"), state="degraded"))
    assert worker["max_batch"] in (2, 3, 4)


def test_a_fault_of_the_gpu_fails_only_the_request_that_causes_it(stack: Stack, api: str) -> None:
    stack.worker("faulty")
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda red: ask(api, "faulty", red), range(2, 12)))
    assert [reply.status_code for reply in replies] == [200] * 7 + [500] + [200] * 2
    wait_for("the figures", lambda: set(worker_of(api, "faulty")["recycles"]) == {"device"})


def test_an_idle_model_releases_its_memory_and_serves_the_next_request(
    stack: Stack, api: str
) -> None:
    stack.worker("idle")
    assert ask(api, "idle", 1).status_code == 200
    worker = wait_for("the unloading", lambda: _in_state(worker_of(api, "idle"), state="unloaded"))
    assert worker["memory_mb"] == 0
    assert ask(api, "idle", 2).json()["result"]["caption"]["text"] == "rgb 2 0 0"


def test_repeated_failures_are_503_with_the_reason_until_the_next_attempt(
    stack: Stack, api: str
) -> None:
    stack.worker("doomed")
    mark = Path(stack.catalog.get("doomed").parameters["all_red_while"])

    def refusal() -> tuple[requests.Response, str] | None:
        """Crash the model, and be refused unless on a slow machine the next try came first."""
        assert ask(api, "doomed", 2).status_code in (500, 503)
        reply = ask(api, "doomed", 1)
        reason = requests.get(f"{api}/readyz", timeout=30).json()["models"].get("doomed", "")
        return (reply, reason) if reply.status_code == 503 and "failed" in reason else None

    refused, reason = wait_for("a refusal", refusal)
    assert "times in a row, the last time on a test picture" in reason
    assert "times in a row, the last time on a test picture" in refused.json()["error"]
    assert int(refused.headers["Retry-After"]) > 0
    mark.unlink()
    wait_for("the next try", lambda: ask(api, "doomed", 1).status_code == 200)


def test_several_deadly_images_at_once_fail_no_other_request(stack: Stack, api: str) -> None:
    stack.worker("attacked")

    def attack(green: int, **body: Any) -> requests.Response:
        return ask(api, "attacked", 9, images=[data_url(plain(9, green))], **body)

    with ThreadPoolExecutor(12) as others, ThreadPoolExecutor(6) as attackers:
        innocents = [others.submit(ask, api, "attacked", red) for red in range(10, 60)]
        deadly = [attackers.submit(attack, green) for green in range(6)]
        texts = [reply.result().json()["result"]["caption"]["text"] for reply in innocents]
        assert texts == [f"rgb {red} 0 0" for red in range(10, 60)]
        assert [reply.result().status_code for reply in deadly] == [500] * 6
    deaths = stack.processes.logs("worker-attacked").count("model process lost")
    again = [attack(green, prompt=f"prompt {green}") for green in range(6)]
    assert [reply.status_code for reply in again] == [500] * 6
    assert ask(api, "attacked", 1).status_code == 200
    assert stack.processes.logs("worker-attacked").count("model process lost") == deaths <= 12


def test_a_worker_that_receives_no_messages_exits_and_its_requests_are_served(
    stack: Stack, api: str
) -> None:
    proxy = StallingProxy(urlsplit(stack.redis_url).port or 0)
    url = f"redis://127.0.0.1:{proxy.port}/0"
    stalled = stack.another_worker("plain", VISION_REDIS_URL=url)
    try:
        stack.wait_ready("plain")
        assert ask(api, "plain", 1).status_code == 200
        proxy.stall()
        with ThreadPoolExecutor(2) as pool:
            replies = [pool.submit(ask, api, "plain", red) for red in (2, 3)]
            assert stalled.wait(UP_S) == EXIT_STALLED
            successor = stack.another_worker("plain")
            texts = [reply.result().json()["result"]["caption"]["text"] for reply in replies]
        assert texts == ["rgb 2 0 0", "rgb 3 0 0"]
        end(successor)
    finally:
        proxy.close()
        end(stalled)


def test_a_stopping_worker_finishes_even_a_long_batch_and_nothing_is_run_twice(
    stack: Stack, api: str
) -> None:
    first = stack.another_worker("lengthy")
    stack.wait_ready("lengthy")
    with ThreadPoolExecutor(2) as pool:
        replies = []
        for held, red in enumerate((9, 1)):  # the long one first
            replies.append(pool.submit(ask, api, "lengthy", red, id=f"lengthy-{red}"))
            stack.wait_held("lengthy", held + 1)
        first.terminate()
        wait_for("the requeued task", lambda: stack.presence("lengthy").queued)
        assert first.wait(60) == 0
        second = stack.another_worker("lengthy")
        assert [reply.result().status_code for reply in replies] == [200, 200]
    end(second)
    lines = stack.processes.logs("worker-lengthy").splitlines()
    done = [line for line in lines if '"event": "job"' in line and '"done"' in line]
    assert len(done) == 2
    log = stack.processes.logs("api").splitlines()
    lost = [line for line in log if "task lost" in line and "lengthy-" in line]
    assert all('"resends": 0' in line for line in lost)  # none was taken for the death of a worker


def test_a_request_fails_after_three_workers_died_with_it(stack: Stack, api: str) -> None:
    with ThreadPoolExecutor(1) as pool:
        worker = stack.another_worker("lengthy")
        stack.wait_ready("lengthy")
        seen = _new_leases(stack, set())  # those of earlier requests have not expired yet
        reply = pool.submit(ask, api, "lengthy", 9)
        for _ in range(3):
            seen |= wait_for("a new lease", partial(_new_leases, stack, seen))
            worker.kill()
            worker = stack.another_worker("lengthy")
        refused = reply.result()
    assert refused.status_code == 500
    assert "3 workers died" in refused.json()["error"]
    assert stack.presence("lengthy").queued == 0
    end(worker)


def _new_leases(stack: Stack, seen: set[bytes]) -> set[bytes]:
    found: Any = stack.redis.keys("vision:lease:*")
    return set(found) - seen


def _in_state(worker: dict[str, Any], *, state: str) -> dict[str, Any] | None:
    return worker if worker["state"] == state else None
