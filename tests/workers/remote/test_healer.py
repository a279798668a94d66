"""What is done about a model that has become slow, and when it is left alone."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from shared.ollama_settings import OllamaSettings
from tests.ollama.engine_harness import MODEL, running_engine
from tests.ollama_standin import OllamaStandin
from tests.stack import Stack, wait_for
from workers.remote import healer
from workers.remote.config import HealingOptions, ServerConfig
from workers.remote.healer import MAX_PAUSE_S, Healer
from workers.remote.pool import Pool

WORDS = "one two three four"
TOKEN_S = 0.004
HEALING = {"answers": 3, "interval_s": 600, "unload_s": 5}
FREQUENT = {**HEALING, "interval_s": 1}


@pytest.fixture
def server() -> Iterator[OllamaStandin]:
    with OllamaStandin((MODEL,), answer=WORDS, token_s=TOKEN_S) as standin:
        yield standin


@pytest.fixture
def other() -> Iterator[OllamaStandin]:
    with OllamaStandin((MODEL,), answer=WORDS, token_s=TOKEN_S) as standin:
        yield standin


def test_attempts_that_fail_come_less_and_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(healer, "time", SimpleNamespace(monotonic=lambda: 0.0))
    options = HealingOptions(interval_s=600)
    pool = Pool([ServerConfig(url="a")], options, poll_s=60, grace_s=60)
    tested = Healer(pool, options, OllamaSettings(), never_claimed)
    case = healer._Case(pool.servers[0], MODEL, "it is slow")

    def pause_after(outcome: str) -> float:
        tested._finish(case, outcome)
        return tested._next_at[case.key]

    assert [pause_after("failed") for _ in range(3)] == [600, 1200, 2400]
    assert max(pause_after("failed") for _ in range(9)) == MAX_PAUSE_S
    pause_after("healed")
    assert pause_after("failed") == 600


async def never_claimed(_: str, __: float) -> bool:
    return True


@pytest.mark.parametrize("fault", ["slow_after", pytest.param("cpu_after", marks=pytest.mark.slow)])
def test_a_model_that_became_slow_is_made_fast_again_without_failed_requests(
    stack: Stack, server: OllamaStandin, fault: str
) -> None:
    setattr(server.knobs, fault, 15)
    with running_engine(stack, server, healing=HEALING) as harness:
        before = harness.generate()["eval_duration"]
        with ThreadPoolExecutor(4) as pool:
            replies = list(pool.map(lambda _: harness.generate(), range(40)))
        assert {reply["response"] for reply in replies} == {WORDS}
        assert max(reply["eval_duration"] for reply in replies) == 10 * before
        assert harness.wait(server, lambda status: status.heals).heals == {"healed": 1}
        assert harness.generate()["eval_duration"] == before


@pytest.mark.slow
def test_requests_that_slow_each_other_down_are_no_reason_to_heal(
    stack: Stack, server: OllamaStandin
) -> None:
    # So slow that a busy machine adds little to what the server takes, and knows, of a request.
    server.knobs.contention, server.knobs.token_s = True, 0.05
    with running_engine(stack, server, configs=[{"parallel": 3}], healing=HEALING) as harness:
        for _ in range(5):
            harness.caption()
        harness.captions(24, clients=6)
        status = harness.wait(server, lambda status: not status.running)
        assert (status.heals, status.degraded, server.unloads[MODEL]) == ({}, {}, 0)
    assert server.most_active == 3


def test_a_restart_is_requested_where_reloading_fails(
    stack: Stack, server: OllamaStandin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_RESTART_URL", f"{server.url}/standin/restart")
    server.knobs.slow_after, server.knobs.slow_until, server.knobs.reload_fails = 5, "restart", True
    with running_engine(stack, server, healing=HEALING) as harness:
        harness.captions(12, clients=2)
        status = harness.wait(server, lambda status: status.heals)
    assert status.heals == {"healed by a restart": 1}
    assert (status.degraded, server.restarts) == ({}, 1)


@pytest.mark.slow
def test_a_restart_that_does_not_help_is_not_repeated_and_requests_go_on(
    stack: Stack, server: OllamaStandin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_RESTART_URL", f"{server.url}/standin/restart")
    monkeypatch.setattr("workers.remote.healer.RESTART_TIMEOUT_S", 2.0)
    server.knobs.slow_after, server.knobs.slow_until = 5, "never"
    with running_engine(stack, server, healing=FREQUENT) as harness:
        harness.captions(12, clients=2)
        wait_for("the restart", lambda: server.restarts)
        assert harness.caption() == WORDS  # while the server is checked
        status = harness.wait(server, lambda status: status.heals.get("failed", 0) >= 2)
        assert status.degraded[MODEL]
        assert harness.caption() == WORDS
    assert server.restarts == 1


@pytest.mark.slow
def test_a_model_that_recovered_while_others_answered_is_used_again(
    stack: Stack, server: OllamaStandin, other: OllamaStandin
) -> None:
    server.knobs.slow_after, server.knobs.slow_until = 4, "never"
    with running_engine(stack, server, other, healing=FREQUENT) as harness:
        for _ in range(12):
            harness.caption()
        assert harness.wait(server, lambda status: status.heals).degraded
        server.models[MODEL].slow.active = False
        status = harness.wait(server, lambda status: not status.degraded)
        assert status.heals == {"failed": 1, "recovered": 1}


@pytest.mark.slow
def test_a_server_that_was_restarted_no_longer_counts_as_slow(
    stack: Stack, server: OllamaStandin
) -> None:
    server.knobs.slow_after, server.knobs.slow_until = 4, "restart"
    with running_engine(stack, server, healing={**HEALING, "enabled": False}) as harness:
        for _ in range(8):
            harness.caption()
        assert harness.wait(server, lambda status: status.degraded).heals == {}
        server.go_down()
        harness.wait(server, lambda status: not status.up)
        server.come_back()
        assert harness.wait(server, lambda status: status.up).degraded == {}


def test_a_model_is_reloaded_with_the_options_of_requests_and_an_operator_need_not_wait(
    stack: Stack, server: OllamaStandin
) -> None:
    assert stack.store.claims.take(f"heal:{server.url}:{MODEL}", 600)
    with running_engine(stack, server) as harness:
        options = {"num_ctx": 2048, "num_gpu": 9, "temperature": 0.5}
        harness.generate(options=options, keep_alive="1h")
        harness.generate(prompt="", keep_alive=0)  # no example of how it is used
        harness.generate(prompt="", keep_alive="1m")
        harness.wait(server, lambda status: status.gpu_share)
        harness.engine.recycle()
        assert harness.wait(server, lambda status: status.heals).heals == {"healed": 1}
    body = server.generates()[-1].body or {}
    assert body["options"] == {"num_ctx": 2048, "num_gpu": 9, "num_predict": 16}
    assert body["keep_alive"] == "1h"
    assert (server.unloads[MODEL], server.loads[MODEL]) == (2, 3)


@pytest.mark.slow
def test_an_attempt_of_another_worker_does_not_lengthen_the_pause(
    stack: Stack, server: OllamaStandin
) -> None:
    assert stack.store.claims.take(f"heal:{server.url}:{MODEL}", 600)
    server.knobs.slow_after = 4
    with running_engine(stack, server, healing=FREQUENT) as harness:
        for _ in range(8):
            harness.caption()
        harness.wait(server, lambda status: status.heals.get("left to another worker"))
        assert harness.engine._healer._pause_s == {}
        stack.redis.delete(f"vision:claim:heal:{server.url}:{MODEL}")
        assert harness.wait(server, lambda status: status.heals.get("healed")).degraded == {}


@pytest.mark.slow
def test_the_load_time_is_shown(stack: Stack, server: OllamaStandin) -> None:
    server.knobs.load_s = 0.6
    with running_engine(stack, server, stall_s=5) as harness:
        harness.caption()
        harness.caption()
        status = harness.wait(server, lambda status: status.load_s)
    assert status.load_s[MODEL] == pytest.approx(0.6, abs=0.3)
