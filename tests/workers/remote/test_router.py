"""Which server gets a request, and where the request goes when that server does not do it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.errors import BadRequest
from tests.ollama.engine_harness import MODEL, scene
from tests.ollama_standin import OllamaStandin
from tests.stack import Stack, wait_for
from workers.remote.config import Healing, HostRow
from workers.remote.server import Host
from workers.remote.status import snapshot_of


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.remote.router.GLANCE_S", 0.05)


@pytest.fixture
def first() -> Iterator[OllamaStandin]:
    with OllamaStandin((MODEL,)) as standin:
        yield standin


@pytest.fixture
def second() -> Iterator[OllamaStandin]:
    with OllamaStandin((MODEL,)) as standin:
        yield standin


def texts(count: int) -> list[str]:
    return [f"rgb {red} 0 0" for red in range(1, count + 1)]


def test_a_server_that_always_fails_costs_no_request_while_the_other_is_busy(
    stack: Stack, first: OllamaStandin, second: OllamaStandin
) -> None:
    first.knobs.fail_next, second.knobs.token_s = -1, 0.02
    with scene(stack, first, second) as running:
        assert running.captions(24, clients=8) == texts(24)
        assert running.host(first).failing == (MODEL,)
    assert len(first.generates()) <= 3  # not asked again and again


def test_a_server_that_hangs_costs_time_only_once(
    stack: Stack, first: OllamaStandin, second: OllamaStandin
) -> None:
    first.knobs.hang_next = -1
    with scene(stack, first, second) as running:
        assert [running.caption(n) for n in range(1, 5)] == texts(4)
    assert len(first.generates()) == 1


@pytest.mark.slow
def test_many_requests_leave_a_server_that_hangs_though_the_other_is_never_free(
    stack: Stack, first: OllamaStandin, second: OllamaStandin
) -> None:
    first.knobs.hang_next, second.knobs.token_s = -1, 0.02
    with scene(stack, first, second) as running:
        assert running.captions(16, clients=8) == texts(16)


def test_a_server_that_failed_is_asked_again_after_a_rest_that_grows_up_to_a_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr("workers.remote.server.time.monotonic", lambda: now)
    host = Host(HostRow(url="a"), Healing())
    rests = []
    for _ in range(6):
        host.failed("m", 5)
        assert host.rests("m")
        began = now
        while host.rests("m"):
            now += 1
        rests.append(now - began)
    assert rests == [5, 10, 20, 40, 50, 50]
    host.answered("m")
    host.failed("m", 5)
    now += 5
    assert not host.rests("m")


def test_models_that_load_for_long_are_waited_for_where_no_server_is_left_to_try(
    stack: Stack, first: OllamaStandin, second: OllamaStandin
) -> None:
    first.knobs.load_s = second.knobs.load_s = 0.8
    with scene(stack, first, second) as running:
        assert running.caption() == "rgb 7 0 0"
        running.wait(second, lambda host: host.load_s)
    assert [len(server.generates()) for server in (first, second)] == [1, 1]
    assert second.aborted == 0


@pytest.mark.slow
def test_a_stream_that_has_begun_is_not_ended_for_its_silence(
    stack: Stack, first: OllamaStandin, second: OllamaStandin
) -> None:
    for server in (first, second):
        server.knobs.answer, server.knobs.token_s = "one two", 0.5
    with scene(stack, first, second) as running:
        assert running.generate(stream=True)["response"] == "one two"


def test_a_server_that_goes_down_in_the_middle_costs_no_request(
    stack: Stack, first: OllamaStandin, second: OllamaStandin
) -> None:
    first.knobs.token_s = second.knobs.token_s = 0.02
    rows = [{"parallel": 2}, {"parallel": 2}]
    with scene(stack, first, second, rows=rows) as running, ThreadPoolExecutor(1) as pool:
        replies = pool.submit(running.captions, 40, 8)
        wait_for("answers", lambda: (first.answered > 3 and first.active == 2) or None, 20)
        first.go_down()
        assert replies.result() == texts(40)
        assert not running.host(first).up


def test_a_server_gets_as_many_requests_at_once_as_its_row_says(
    stack: Stack, first: OllamaStandin
) -> None:
    first.knobs.token_s, first.knobs.parallel = 0.01, 8
    with scene(stack, first, rows=[{"parallel": 3}]) as running:
        running.captions(16, clients=8)
    assert (first.most_active, first.knobs.parallel) == (3, 8)


def test_a_key_is_sent_and_a_server_that_refuses_it_is_left(
    stack: Stack, first: OllamaStandin, second: OllamaStandin
) -> None:
    first.knobs.key, second.knobs.key = "one", "two"
    rows = [{"key": "one"}, {"key": "two"}]
    with scene(stack, first, second, rows=rows, poll_s=30) as running:
        running.caption()
        assert first.generates()[0].headers["Authorization"] == "Bearer one"
        first.knobs.key = "another"
        assert running.caption() == "rgb 7 0 0"
        assert second.generates()[0].headers["Authorization"] == "Bearer two"


def test_what_ollama_finds_at_fault_with_a_request_is_the_requests_fault(
    stack: Stack, first: OllamaStandin, second: OllamaStandin
) -> None:
    with (
        scene(stack, first, second) as running,
        pytest.raises(BadRequest, match="does not support thinking"),
    ):
        running.caption(think=True)
    assert len(first.generates()) + len(second.generates()) == 1


def test_the_oldest_version_is_told_by_its_numbers() -> None:
    hosts = []
    for version in ("0.12.0", "0.9.1", "0.30.0"):
        hosts.append(Host(HostRow(url=version), Healing()))
        hosts[-1].version, hosts[-1].up = version, True
    assert snapshot_of(hosts).version == "0.9.1"
