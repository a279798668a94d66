"""Which server gets a request, and where the request moves when that server fails."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.errors import BadRequest
from tests.ollama.engine_harness import MODEL, running_engine
from tests.ollama_standin import OllamaStandin
from tests.stack import Stack, wait_for
from workers.remote.config import HealingOptions, ServerConfig
from workers.remote.server import Server
from workers.remote.status import make_snapshot


@pytest.fixture(autouse=True)
def _frequent_stall_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.remote.router.STALL_POLL_S", 0.05)


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
    with running_engine(stack, first, second) as harness:
        assert harness.captions(24, clients=8) == texts(24)
        harness.wait(first, lambda status: status.failing == (MODEL,))
    assert len(first.generates()) <= 3  # it is not tried again and again


def test_a_server_that_hangs_costs_time_only_once(
    stack: Stack, first: OllamaStandin, second: OllamaStandin
) -> None:
    first.knobs.hang_next = -1
    with running_engine(stack, first, second, stall_s=2) as harness:
        assert [harness.caption(n) for n in range(1, 5)] == texts(4)
    assert len(first.generates()) == 1


@pytest.mark.slow
def test_many_requests_leave_a_server_that_hangs_even_if_the_other_is_never_free(
    stack: Stack, first: OllamaStandin, second: OllamaStandin
) -> None:
    first.knobs.hang_next, second.knobs.token_s = -1, 0.05
    with running_engine(stack, first, second, stall_s=2) as harness:
        assert harness.captions(16, clients=8) == texts(16)


@pytest.mark.parametrize(
    "lists",
    [
        [1], "none", {"a": 1}, [None, "text", [], {}, {"name": None}, {"name": 7}, {"name": ""}],
        [{"name": "\ud800"}], [{"name": "odd", "details": {"family": "\udfff"}}],
        [{"name": "odd", "size": "large", "size_vram": []}],
    ],
    ids=["numbers", "text", "object", "no-names", "surrogate", "inner-surrogate", "sizes"],
)  # fmt: skip
def test_an_odd_list_of_models_of_one_server_leaves_the_others_watched(
    stack: Stack, first: OllamaStandin, second: OllamaStandin, lists: object
) -> None:
    first.knobs.lists = lists
    with running_engine(stack, first, second) as harness:
        harness.wait(second, lambda status: status.models == (MODEL,))
        assert harness.caption() == "rgb 7 0 0"
        harness.engine.status.model_dump_json()  # as a heartbeat does
        first.knobs.lists = None
        harness.wait(first, lambda status: status.up and status.models == (MODEL,))
        second.go_down()
        harness.wait(second, lambda status: not status.up)
        assert harness.caption() == "rgb 7 0 0"


def test_the_cooldown_of_a_model_grows_with_its_failures_up_to_a_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr("workers.remote.server.time.monotonic", lambda: now)
    server = Server(ServerConfig(url="a"), HealingOptions())
    cooldowns = []
    for _ in range(6):
        server.begin_cooldown("m", 5)
        assert server.is_cooling_down("m")
        began = now
        while server.is_cooling_down("m"):
            now += 1
        cooldowns.append(now - began)
    assert cooldowns == [5, 10, 20, 40, 50, 50]
    server.end_cooldown("m")
    server.begin_cooldown("m", 5)
    now += 5
    assert not server.is_cooling_down("m")


def test_a_model_that_takes_long_to_load_is_waited_for_once_every_server_was_tried(
    stack: Stack, first: OllamaStandin, second: OllamaStandin
) -> None:
    first.knobs.load_s = second.knobs.load_s = 0.8
    with running_engine(stack, first, second, stall_s=0.2) as harness:
        assert harness.caption() == "rgb 7 0 0"
        harness.wait(second, lambda status: status.load_s)
    assert [len(server.generates()) for server in (first, second)] == [1, 1]
    assert second.aborted == 0


@pytest.mark.slow
def test_a_stream_that_has_begun_is_not_ended_because_of_silence(
    stack: Stack, first: OllamaStandin, second: OllamaStandin
) -> None:
    for server in (first, second):
        server.knobs.answer, server.knobs.token_s = "one two", 0.5
    with running_engine(stack, first, second, stall_s=0.2) as harness:
        assert harness.generate(stream=True)["response"] == "one two"


def test_a_server_that_goes_down_in_the_middle_costs_no_request(
    stack: Stack, first: OllamaStandin, second: OllamaStandin
) -> None:
    first.knobs.hang_next, first.knobs.hang_at = 2, "stream"
    configs = [{"parallel": 2}, {"parallel": 2}]
    with (
        running_engine(stack, first, second, configs=configs) as harness,
        ThreadPoolExecutor(1) as pool,
    ):
        replies = pool.submit(harness.captions, 40, 8)
        wait_for("two requests under way", lambda: first.active == 2 and second.answered > 3)
        first.go_down()
        assert replies.result() == texts(40)
        harness.wait(first, lambda status: not status.up)


def test_a_server_gets_as_many_parallel_requests_as_configured(
    stack: Stack, first: OllamaStandin
) -> None:
    first.knobs.token_s, first.knobs.parallel = 0.01, 8
    with running_engine(stack, first, configs=[{"parallel": 3}]) as harness:

        def three_at_once() -> bool:
            """Whether a busy machine has let three of the clients ask at the same time."""
            harness.captions(16, clients=8)
            return first.most_active >= 3

        wait_for("three at once", three_at_once)
    assert (first.most_active, first.knobs.parallel) == (3, 8)


def test_a_key_is_sent_and_a_server_that_rejects_it_is_no_longer_used(
    stack: Stack,
    first: OllamaStandin,
    second: OllamaStandin,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("workers.remote.router.FIRST_COOLDOWN_S", 0.0)  # that is not what does it
    first.knobs.key, second.knobs.key = "one", "two"
    configs = [{"key": "one"}, {"key": "two"}]
    with running_engine(stack, first, second, configs=configs, poll_s=30) as harness:
        harness.caption()
        assert first.generates()[0].headers["Authorization"] == "Bearer one"
        first.knobs.key = "another"
        assert harness.caption() == "rgb 7 0 0"
        assert second.generates()[0].headers["Authorization"] == "Bearer two"
        before = len(first.generates())
        assert harness.captions(3, clients=1) == texts(3)
        assert len(first.generates()) == before


def test_a_request_that_ollama_rejects_is_not_tried_again(
    stack: Stack, first: OllamaStandin, second: OllamaStandin
) -> None:
    with (
        running_engine(stack, first, second) as harness,
        pytest.raises(BadRequest, match="does not support thinking"),
    ):
        harness.caption(think=True)
    assert len(first.generates()) + len(second.generates()) == 1


def test_versions_are_compared_by_their_numbers() -> None:
    servers = []
    for version in ("0.12.0", "0.9.1", "0.30.0"):
        servers.append(Server(ServerConfig(url=version), HealingOptions()))
        servers[-1].version, servers[-1].up = version, True
    assert make_snapshot(servers).version == "0.9.1"


@pytest.mark.parametrize("installed", ["LLaVA:7B", "llava:7b"])
@pytest.mark.parametrize("wanted", ["llava:7b", "LLAVA:7b", "LLaVA:7B"])
def test_a_model_is_found_however_it_is_spelt_and_stays_for_others(
    stack: Stack, installed: str, wanted: str
) -> None:
    with OllamaStandin((installed,)) as server, running_engine(stack, server) as harness:
        server.knobs.case_sensitive = True
        for _ in range(2):
            assert harness.generate(model=wanted)["done"]
            assert harness.caption(7) == "rgb 7 0 0"
            assert harness.status(server).models == (installed,)
        assert {call.body["model"] for call in server.generates() if call.body} == {installed}
        assert harness.show(wanted)["details"]


@pytest.mark.parametrize("options", [True, 1, "hot", ["x"]])
def test_a_request_that_the_server_refuses_takes_no_place_from_others(
    stack: Stack, first: OllamaStandin, options: object
) -> None:
    with running_engine(stack, first) as harness:
        for _ in range(3):  # more than the places of the server
            with pytest.raises(BadRequest):
                harness.generate(options=options)
        assert harness.caption(7) == "rgb 7 0 0"
        harness.wait(first, lambda status: status.running == 0)
