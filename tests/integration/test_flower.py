"""Operators see each request in Flower as one task, with queue, state and runtime."""

import contextlib
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image
from playwright.sync_api import Browser, Page

from launcher.ports import LOOPBACK, free_port
from launcher.supervisord import FLOWER_APP, FLOWER_COLUMNS
from shared.redis.connection import connect
from tests.certificates import by_tls, make_authority
from tests.conftest import data_url
from tests.integration.client import post
from tests.stack import API, Process, Stack, end, wait_for


def start_flower(stack: Stack, redis_url: str) -> tuple[Process, str]:
    """Start Flower; return its process and address, at which it does not answer yet."""
    port = free_port()
    argv = [
        sys.executable, "-m", "celery", f"--app={FLOWER_APP}", "flower",
        f"--address={LOOPBACK}", f"--port={port}", f"--tasks_columns={FLOWER_COLUMNS}",
    ]  # fmt: skip
    process = stack.processes.start(
        "flower", argv, FLOWER_UNAUTHENTICATED_API="true", VISION_REDIS_URL=redis_url
    )
    return process, f"http://{LOOPBACK}:{port}"


@pytest.fixture(scope="module")
def flower(stack: Stack, api: str) -> Iterator[str]:
    process, base = start_flower(stack, stack.redis_url)

    def a_task_is_seen() -> bool:
        """Workers send events from about a second after Flower's start; see that they do."""
        try:
            post(f"{api}{API}/caption/fake").raise_for_status()
            shown = requests.get(f"{base}/api/tasks?state=SUCCESS", timeout=30).json()
        except requests.RequestException:
            return False
        return any(task["runtime"] for task in shown.values())

    stack.worker("fake")
    wait_for("Flower to see the worker", a_task_is_seen)
    yield base
    end(process)


def test_a_request_is_one_task_with_queue_state_runtime_and_small_arguments(
    stack: Stack, api: str, flower: str, cat: bytes
) -> None:
    body = {"images": [data_url(cat), data_url(cat)], "id": "seen-in-flower"}
    assert requests.post(f"{api}{API}/labels/fake", json=body, timeout=30).status_code == 200

    def tasks() -> list[dict[str, Any]] | None:
        shown: dict[str, dict[str, Any]] = requests.get(f"{flower}/api/tasks", timeout=30).json()
        ours = [task for task in shown.values() if "seen-in-flower" in (task["kwargs"] or "")]
        return ours if ours and ours[0]["state"] == "SUCCESS" else None

    (task,) = wait_for("the task", tasks)
    assert task["name"] == "vision.labels"
    assert task["routing_key"] == "vision.fake"
    assert task["runtime"] > 0
    assert len(task["kwargs"]) + len(task["args"] or "") < 600
    assert data_url(cat)[40:80] not in json.dumps(task)


def test_a_worker_has_loaded_nothing_of_flower(stack: Stack) -> None:
    stack.worker("fake")
    pid = stack.status("fake").worker.partition("@")[0].rpartition("-")[2]
    assert "tornado" not in Path(f"/proc/{pid}/maps").read_text()


def test_an_operators_browser_lists_tasks_with_queue_state_and_runtime(
    api: str, flower: str, cat: bytes, browser: Browser
) -> None:
    for task in ("caption", "labels", "nsfw"):
        body = {"images": [data_url(cat)], "id": "seen-in-a-browser"}
        assert requests.post(f"{api}{API}/{task}/fake", json=body, timeout=30).status_code == 200
    with browser.new_page(viewport={"width": 1500, "height": 700}) as page:
        page.goto(f"{flower}/tasks")

        def all_three() -> list[dict[str, str]] | None:
            # Of one that began before workers sent events, Flower knows no name, nor its queue.
            done = [row for row in rows(page) if row["name"] and row["state"] == "SUCCESS"]
            if {row["name"] for row in done} >= {"vision.caption", "vision.labels", "vision.nsfw"}:
                return done
            page.reload()
            return None

        for row in wait_for("the tasks", all_three):
            assert row["routing_key"] == "vision.fake"
            assert float(row["runtime"].split()[0]) > 0  # in ms, or in s
            assert row["worker"].startswith("fake-")
        shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    assert shot.width > 1000
    assert len(shot.getcolors(1 << 24) or ()) > 100  # not a blank page: text has many shades


def test_queues_of_a_redis_by_tls_with_an_authority_of_ones_own_have_their_lengths(
    stack: Stack, tmp_path: Path
) -> None:
    authority = make_authority(tmp_path)
    with by_tls(int(stack.redis_url.rpartition(":")[2].partition("/")[0]), authority) as port:
        url = f"rediss://localhost:{port}/5?ssl_ca_certs={authority / 'ca.pem'}"
        with connect(url) as redis_by_tls:
            redis_by_tls.lpush("celery", "the queue that Flower takes for ours without workers")
        process, base = start_flower(stack, url)

        def lengths() -> list[dict[str, Any]] | None:
            with contextlib.suppress(requests.RequestException):
                reply = requests.get(f"{base}/api/queues/length", timeout=30).json()
                return list(reply["active_queues"]) or None
            return None

        found = wait_for(lambda: stack.processes.logs("flower")[-2000:], lengths)
        end(process)
    assert found == [{"name": "celery", "messages": 1}]


def rows(page: Page) -> list[dict[str, str]]:
    """Return the rows of Flower's list of tasks in the browser; none while it is being filled."""
    page.locator("#tasks-table tbody tr td").first.wait_for()
    cells: list[list[str]] = page.evaluate(
        """[...document.querySelectorAll("#tasks-table tbody tr")].map(
             row => [...row.cells].map(cell => cell.innerText.replaceAll("\\n", "")))"""
    )
    names = FLOWER_COLUMNS.split(",")
    return [dict(zip(names, row, strict=True)) for row in cells if len(row) == len(names)]
