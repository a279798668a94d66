"""Runs of bulk work report how far they are, and operators see it."""

import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from api.front.application import SMALL_BODY_S
from shared.redis.runs import KEPT_S, MOST
from tests import raw_http
from tests.conftest import plain
from tests.stack import API, Stack, running_stack
from tests.vision.command import vision
from vision.runner import announcing

REPORT = {
    "kind": "folders", "name": "Pictures", "state": "running", "total": 10_000, "done": 1_234,
    "failed": 3, "per_hour": 3_400.5, "left_s": 9_300.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A Redis of our own, where nobody else reports."""
    with running_stack(tmp_path_factory.mktemp("runs")) as running:
        yield running


@pytest.fixture(scope="module")
def url(stack: Stack) -> str:
    return stack.api()


@pytest.fixture
def clean(stack: Stack) -> Stack:
    for key in stack.redis.scan_iter("vision:run*"):
        stack.redis.delete(key)
    return stack


def put(url: str, run: object, **changes: object) -> requests.Response:
    return requests.put(f"{url}{API}/runs/{run}", json={**REPORT, **changes}, timeout=30)


def runs(url: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = requests.get(f"{url}{API}/runs", timeout=30).json()["runs"]
    return found


def test_a_run_is_listed_as_it_reported_last(clean: Stack, url: str) -> None:
    first, second = uuid.uuid4(), uuid.uuid4()
    for run in (first, second, first):
        assert put(url, run, total=10_000.0).json() == REPORT
    assert put(url, first, state="done", done=10_000, per_hour=None).status_code == 200
    (done, running) = runs(url)
    assert 0 <= done.pop("reported_s_ago") < 300
    assert done == {
        **REPORT, "id": str(first), "state": "done", "done": 10_000, "per_hour": None,
        "is_silent": False,
    }  # fmt: skip
    assert (running["id"], running["state"]) == (str(second), "running")


def test_a_run_that_was_killed_is_silent_and_then_forgotten(clean: Stack, url: str) -> None:
    run = uuid.uuid4()
    put(url, run)
    clean.redis.zadd("vision:runs", {str(run): time.time() - 31})
    assert [found["is_silent"] for found in runs(url)] == [True]
    assert 0 < clean.redis.ttl(f"vision:run:{run}") <= KEPT_S
    clean.redis.delete(f"vision:run:{run}")  # as Redis does then
    assert runs(url) == []


def test_no_more_runs_are_kept_than_somebody_can_look_at(clean: Stack, url: str) -> None:
    ids = [str(uuid.uuid4()) for _ in range(MOST + 2)]
    for run in ids:
        assert put(url, run).status_code == 200
    assert [found["id"] for found in runs(url)] == ids[:1:-1]


@pytest.mark.parametrize(
    "changes",
    [
        {"total": -1}, {"total": 1.5}, {"done": "3"}, {"done": True}, {"name": "x" * 201},
        {"state": "odd"}, {"kind": ""}, {"per_hour": 1e12}, {"left_s": True},
    ],
)  # fmt: skip
def test_a_report_that_is_none_is_refused(
    clean: Stack, url: str, changes: dict[str, object]
) -> None:
    reply = put(url, uuid.uuid4(), **changes)
    assert reply.status_code == 400
    assert next(iter(changes)) in reply.json()["error"]
    assert runs(url) == []


def test_reports_are_small_and_runs_have_ids(url: str) -> None:
    assert put(url, uuid.uuid4(), more="x" * 10_000).status_code == 413
    assert put(url, "mine").status_code == 404


@pytest.mark.parametrize("size", [10_000, 20_000])
def test_a_report_in_chunks_is_read_as_one_in_one_piece(clean: Stack, url: str, size: int) -> None:
    def in_chunks(**changes: object) -> requests.Response:
        chunks = iter([json.dumps({**REPORT, **changes}).encode()])
        return requests.put(f"{url}{API}/runs/{uuid.uuid4()}", data=chunks, timeout=30)

    assert in_chunks().json() == REPORT
    assert in_chunks(more="x" * size).status_code == 413
    assert len(runs(url)) == 1


def test_a_report_may_come_slowly(clean: Stack, url: str) -> None:
    run, body = uuid.uuid4(), json.dumps(REPORT).encode()
    with raw_http.connect(url) as line:
        head = f"PUT {API}/runs/{run} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        line.sendall(f"{head}Connection: close\r\n\r\n".encode() + body[:10])
        time.sleep(SMALL_BODY_S + 0.3)
        line.sendall(body[10:])
        reply = raw_http.read_to_end(line)
    assert reply.startswith(b"HTTP/1.1 200 OK\r\n")
    assert [found["id"] for found in runs(url)] == [str(run)]


def test_a_report_that_stops_half_way_is_408(clean: Stack, stack: Stack) -> None:
    impatient = stack.api(VISION_BODY_TIMEOUT_S="0.5")
    with raw_http.connect(impatient) as line:
        head = f"PUT {API}/runs/{uuid.uuid4()} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
        line.sendall(f"{head}Connection: close\r\n\r\n{{".encode())
        reply = raw_http.read_to_end(line)
    assert reply.startswith(b"HTTP/1.1 408 ")
    assert runs(impatient) == []


def test_only_operators_see_runs(stack: Stack, clean: Stack) -> None:
    del clean
    keys = {"VISION_API_KEYS": "member", "VISION_OPERATOR_KEYS": "boss"}
    path = f"{stack.api(**keys)}{API}/runs"

    def bearer(key: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {key}"}

    own = f"{path}/{uuid.uuid4()}"
    assert requests.put(own, json=REPORT, timeout=30).status_code == 401
    assert requests.put(own, json=REPORT, headers=bearer("member"), timeout=30).ok
    assert requests.get(path, headers=bearer("member"), timeout=30).status_code == 401
    assert len(requests.get(path, headers=bearer("boss"), timeout=30).json()["runs"]) == 1


def test_vision_run_reports_and_vision_top_shows_it(
    clean: Stack, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcing, "EVERY_S", 0.01)
    clean.worker("fake")
    folder = tmp_path / "Pictures"
    folder.mkdir()
    for red in range(8):
        (folder / f"{red}.png").write_bytes(plain(red))
    (folder / "bad.jpg").write_bytes(b"no picture")
    words = ("run", folder, "--task", "caption", "--model", "fake")
    done = vision(*words, VISION_URL=url, XDG_STATE_HOME=str(tmp_path))
    assert "1 failed" in done.stderr
    (run,) = runs(url)
    assert (run["kind"], run["name"], run["state"]) == ("folders", "Pictures", "done")
    assert (run["total"], run["done"], run["failed"]) == (9, 9, 1)
    assert "Pictures" not in vision("top", VISION_URL=url).stdout
    put(url, uuid.uuid4(), name="A [b]library[/b]")
    (row,) = (row for row in vision("top", VISION_URL=url).stdout.splitlines() if "library" in row)
    shown = "A [b]library[/b] running 1,234 10,000 3 3,400 2:35:00"  # text, and no markup
    assert row.split() == shown.split()
