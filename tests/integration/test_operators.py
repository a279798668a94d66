"""What operators see and do: states and figures of workers, recycle, unload, API keys."""

from typing import Any

import psutil
import pytest
import requests

from tests.conftest import data_url, plain
from tests.stack import API, Stack, wait_for

KEYS = {"VISION_API_KEYS": "first-key, second-key", "VISION_OPERATOR_KEYS": "boss"}


@pytest.fixture(scope="module")
def base(stack: Stack, api: str) -> str:
    stack.worker("fake")
    return api + API


def post(path: str, /, **more: Any) -> requests.Response:
    return requests.post(path, json={"images": [data_url(plain(1))]}, timeout=30, **more)


def worker_of(base: str, model: str) -> dict[str, Any]:
    def workers() -> list[dict[str, Any]]:
        models = requests.get(f"{base}/models", timeout=10).json()["models"]
        found: list[dict[str, Any]] = next(row for row in models if row["name"] == model)["workers"]
        return found

    (worker,) = wait_for("its heartbeat", workers)
    return worker


def test_the_list_of_models_has_what_each_worker_does(base: str) -> None:
    for _ in range(3):
        assert post(f"{base}/caption/fake").status_code == 200

    def figures() -> dict[str, Any] | None:
        worker = worker_of(base, "fake")
        return worker if worker["images"] >= 3 and worker["images_per_s"] else None

    worker = wait_for("the figures", figures)
    assert worker["state"] in ("ready", "busy")
    assert worker["batches"]["1"] >= 3
    assert worker["memory_mb"] > 10
    assert worker["load_s"] > 0
    assert (worker["max_batch"], worker["max_batch_reason"]) == (8, "cpu_batch of the row")


def test_the_list_of_models_says_where_they_run_and_where_the_time_goes(
    stack: Stack, base: str
) -> None:
    stack.worker("slow")
    assert post(f"{base}/caption/slow").status_code == 200

    def figures() -> dict[str, Any] | None:
        worker = worker_of(base, "slow")
        return worker if worker["predict_ms"] else None

    worker = wait_for("the figures", figures)
    assert worker["device"] == "CPU"
    assert worker["acceleration"] == ""
    assert 0 < worker["memory_mb"] <= worker["memory_peak_mb"] < worker["memory_limit_mb"]
    assert 0 < worker["utilisation"] < 1
    assert 0 < worker["prepare_ms"] < 1000
    assert worker["queue_ms"] >= 0
    assert set(worker["job_seconds"]) == {"queue", "prepare", "predict"}


def test_recycle_replaces_the_process_and_requests_go_on(base: str) -> None:
    before = worker_of(base, "fake")
    reply = requests.post(f"{base}/models/fake/recycle", timeout=10).json()
    assert reply["workers"] == [before["worker"]]
    assert post(f"{base}/caption/fake").status_code == 200

    def recycled() -> dict[str, Any] | None:
        worker = worker_of(base, "fake")
        return worker if worker["model_pid"] not in (0, before["model_pid"]) else None

    after = wait_for("another process", recycled)
    assert psutil.pid_exists(after["model_pid"])
    assert after["recycles"]["operator"] == before["recycles"].get("operator", 0) + 1


def test_unload_frees_the_memory_and_the_next_request_loads_again(base: str) -> None:
    requests.post(f"{base}/models/fake/unload", timeout=10)
    wait_for("unloading", lambda: worker_of(base, "fake")["state"] == "unloaded")
    assert worker_of(base, "fake")["model_pid"] == 0
    assert post(f"{base}/caption/fake").status_code == 200


def test_commands_need_a_model_and_a_worker(base: str) -> None:
    assert requests.post(f"{base}/models/nobody/recycle", timeout=10).status_code == 404
    assert requests.post(f"{base}/models/unserved/recycle", timeout=10).status_code == 503
    assert requests.post(f"{base}/models/fake/explode", timeout=10).status_code == 404


def test_readyz_names_enabled_models_that_no_worker_has_ready(stack: Stack) -> None:
    stack.worker("broken")
    lonely = stack.api(VISION_MODELS="broken,unserved,fake")
    reply = requests.get(f"{lonely}/readyz", timeout=10)
    assert reply.status_code == 200
    assert "the weights are corrupt" in reply.json()["models"]["broken"]
    assert reply.json()["models"]["unserved"] == "no worker"
    assert "fake" not in reply.json()["models"]


def test_if_api_keys_are_set_requests_need_one_of_them(stack: Stack) -> None:
    stack.worker("fake")
    guarded = stack.api(**KEYS)
    path = f"{guarded}{API}/caption/fake"
    refused = post(path)
    assert refused.status_code == 401
    assert "API key" in refused.json()["error"]
    assert post(path, headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert post(path, headers={"Authorization": "Bearer second-key"}).status_code == 200
    assert post(path, auth=("anybody", "first-key")).status_code == 200
    assert requests.post(f"{guarded}{API}/models/fake/recycle", timeout=10).status_code == 401
    assert requests.get(f"{guarded}/livez", timeout=10).status_code == 200


def test_a_service_without_keys_says_so_once_when_it_starts(stack: Stack) -> None:
    warning = "no API key is set: whoever reaches the port may use the service"
    before = stack.processes.logs("api").count(warning)
    stack.another_api(VISION_API_KEYS="sesame")
    assert stack.processes.logs("api").count(warning) == before
    stack.another_api()
    assert stack.processes.logs("api").count(warning) == before + 1


def test_an_operator_key_gives_commands_and_an_api_key_does_not(stack: Stack) -> None:
    stack.worker("fake")
    guarded = stack.api(**KEYS)
    path = f"{guarded}{API}/models/fake/recycle"
    replies = {
        key: requests.post(path, auth=(key, ""), timeout=30) for key in ("first-key", "boss")
    }
    assert {key: reply.status_code for key, reply in replies.items()} == {
        "first-key": 401,
        "boss": 200,
    }
    assert replies["boss"].json()["workers"]


def test_a_form_on_a_page_of_another_site_recycles_nothing(stack: Stack, base: str) -> None:
    form = {"Origin": "https://evil.example", "Content-Type": "application/x-www-form-urlencoded"}
    stack.worker("slow")  # which no other test recycles
    reply = requests.post(f"{base}/models/slow/recycle", headers=form, timeout=10)
    assert reply.status_code == 403
    assert "operator" not in worker_of(base, "slow")["recycles"]
