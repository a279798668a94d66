"""Logs: one JSON object per line, one line per event, and the same id in API and worker."""

import json
from typing import Any

import psutil
import pytest
import requests

from tests.conftest import data_url, plain
from tests.stack import API, Stack, running_stack, wait_for


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with running_stack(tmp_path_factory.mktemp("quiet")) as stack:
        yield stack


def lines(stack: Stack, process: str) -> list[dict[str, Any]]:
    """Return all lines that a process has written; fail unless each is a JSON object."""
    return [json.loads(line) for line in stack.processes.logs(process).splitlines() if line]


def of(found: list[dict[str, Any]], event: str, request_id: str) -> list[dict[str, Any]]:
    return [
        line for line in found if (line["event"], line.get("request_id")) == (event, request_id)
    ]


def test_a_request_is_one_line_of_the_api_and_one_of_the_worker(quiet: Stack) -> None:
    quiet.worker("delicate")
    base = quiet.api() + API
    body = {"images": [data_url(plain(1))], "id": "photo-7"}
    headers = {"X-Request-ID": "proxy-7"}
    reply = requests.post(f"{base}/caption/delicate", json=body, headers=headers, timeout=60)
    assert (reply.headers["X-Request-ID"], reply.json()["id"]) == ("proxy-7", "photo-7")
    (asked,) = of(lines(quiet, "api"), "request", "proxy-7")
    assert asked["body_id"] == "photo-7"
    assert (asked["models"], asked["tasks"], asked["status"]) == ("delicate", "caption", 200)
    (done,) = of(lines(quiet, "worker-delicate"), "job", "proxy-7")
    assert done["status"] == "done"


def test_the_log_of_a_crash_names_the_request(quiet: Stack) -> None:
    quiet.worker("delicate")
    base = quiet.api() + API
    body = {"images": [data_url(plain(250))], "id": "deadly"}
    reply = requests.post(f"{base}/caption/delicate", json=body, timeout=60)
    assert reply.status_code == 500
    lost = [
        line for line in lines(quiet, "worker-delicate") if line["event"] == "model process lost"
    ]
    assert [line["requests"] for line in lost] == [["deadly"], ["deadly"]]
    (failed,) = of(lines(quiet, "worker-delicate"), "job", "deadly")
    assert failed["status"] == "ModelFailed"
    (refused,) = of(lines(quiet, "api"), "request", "deadly")
    assert refused["status"] == 500


def test_gunicorn_also_logs_json(quiet: Stack) -> None:
    quiet.api()
    (child,) = psutil.Process(quiet.api_process.pid).children()
    child.kill()

    def gunicorn_lines() -> list[dict[str, Any]]:
        return [line for line in lines(quiet, "api") if "gunicorn" in line["logger"]]

    logged = wait_for("its log line", gunicorn_lines)
    assert "SIGKILL" in logged[0]["event"]
    assert logged[0]["role"] == "api"
