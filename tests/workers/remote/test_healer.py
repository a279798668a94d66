"""What is done about a model that became slow, and when it is left in peace."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.ollama.engine_harness import MODEL, scene
from tests.ollama_standin import OllamaStandin
from tests.stack import Stack, wait_for

WORDS = "one two three four"
TOKEN_S = 0.004
HEALING = {"answers": 3, "interval_s": 600, "unload_s": 5}
OFTEN = {**HEALING, "interval_s": 1}


@pytest.fixture
def ill() -> Iterator[OllamaStandin]:
    with OllamaStandin((MODEL,), answer=WORDS, token_s=TOKEN_S) as standin:
        yield standin


@pytest.fixture
def well() -> Iterator[OllamaStandin]:
    with OllamaStandin((MODEL,), answer=WORDS, token_s=TOKEN_S) as standin:
        yield standin


@pytest.mark.parametrize(
    "illness", ["slow_after", pytest.param("cpu_after", marks=pytest.mark.slow)]
)
def test_a_model_that_became_slow_is_as_fast_as_before_and_no_request_failed(
    stack: Stack, ill: OllamaStandin, illness: str
) -> None:
    setattr(ill.knobs, illness, 15)
    with scene(stack, ill, healing=HEALING) as running:
        before = running.generate()["eval_duration"]
        with ThreadPoolExecutor(4) as pool:
            replies = list(pool.map(lambda _: running.generate(), range(40)))
        assert {reply["response"] for reply in replies} == {WORDS}
        assert max(reply["eval_duration"] for reply in replies) == 10 * before
        assert running.wait(ill, lambda host: host.heals).heals == {"healed": 1}
        assert running.generate()["eval_duration"] == before


def test_requests_that_slow_each_other_down_are_no_illness(
    stack: Stack, ill: OllamaStandin
) -> None:
    ill.knobs.crowded, ill.knobs.token_s = True, 0.01
    with scene(stack, ill, rows=[{"parallel": 3}], healing=HEALING) as running:
        for _ in range(5):
            running.caption()
        running.captions(24, clients=6)
        host = running.wait(ill, lambda host: not host.running)
        assert (host.heals, host.degraded, ill.unloads[MODEL]) == ({}, {}, 0)
    assert ill.most_active == 3


def test_a_restart_is_called_for_where_loading_anew_ends_in_an_error(
    stack: Stack, ill: OllamaStandin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_RESTART_URL", f"{ill.url}/standin/restart")
    ill.knobs.slow_after, ill.knobs.slow_cure, ill.knobs.reload_fails = 5, "restart", True
    with scene(stack, ill, healing=HEALING) as running:
        running.captions(12, clients=2)
        host = running.wait(ill, lambda host: host.heals)
    assert host.heals == {"healed by a restart": 1}
    assert (host.degraded, ill.restarts) == ({}, 1)


@pytest.mark.slow
def test_a_restart_that_does_not_help_is_not_called_for_again_and_requests_go_on(
    stack: Stack, ill: OllamaStandin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_RESTART_URL", f"{ill.url}/standin/restart")
    monkeypatch.setattr("workers.remote.healer.RESTART_S", 2.0)
    ill.knobs.slow_after, ill.knobs.slow_cure = 5, "never"
    with scene(stack, ill, healing=OFTEN) as running:
        running.captions(12, clients=2)
        wait_for("the restart", lambda: ill.restarts or None, 10)
        assert running.caption() == WORDS  # while it is looked at
        host = running.wait(ill, lambda host: host.heals.get("failed", 0) >= 2)
        assert host.degraded[MODEL]
        assert running.caption() == WORDS
    assert ill.restarts == 1


@pytest.mark.slow
def test_a_model_that_recovered_while_others_answered_is_used_again(
    stack: Stack, ill: OllamaStandin, well: OllamaStandin
) -> None:
    ill.knobs.slow_after, ill.knobs.slow_cure = 4, "never"
    with scene(stack, ill, well, healing=OFTEN) as running:
        for _ in range(12):
            running.caption()
        assert running.wait(ill, lambda host: host.heals).degraded
        ill.models[MODEL].slow.ill = False
        host = running.wait(ill, lambda host: not host.degraded)
        assert host.heals == {"failed": 1, "recovered": 1}


@pytest.mark.slow
def test_a_server_that_was_restarted_is_not_taken_for_slow_any_more(
    stack: Stack, ill: OllamaStandin
) -> None:
    ill.knobs.slow_after, ill.knobs.slow_cure = 4, "restart"
    with scene(stack, ill, healing={**HEALING, "enabled": False}) as running:
        for _ in range(8):
            running.caption()
        assert running.wait(ill, lambda host: host.degraded).heals == {}
        ill.go_down()
        running.wait(ill, lambda host: not host.up)
        ill.come_back()
        assert running.wait(ill, lambda host: host.up).degraded == {}


def test_a_model_is_loaded_anew_as_it_was_used_and_an_operator_need_not_wait(
    stack: Stack, ill: OllamaStandin
) -> None:
    assert stack.store.claims.take(f"heal:{ill.url}:{MODEL}", 600)
    with scene(stack, ill) as running:
        options = {"num_ctx": 2048, "num_gpu": 9, "temperature": 0.5}
        running.generate(options=options, keep_alive="1h")
        running.generate(prompt="", keep_alive=0)  # says nothing of how it is used
        running.generate(prompt="", keep_alive="1m")
        running.wait(ill, lambda host: host.gpu_share)
        running.engine.recycle()
        assert running.wait(ill, lambda host: host.heals).heals == {"healed": 1}
    body = ill.generates()[-1].body or {}
    assert body["options"] == {"num_ctx": 2048, "num_gpu": 9, "num_predict": 16}
    assert body["keep_alive"] == "1h"
    assert (ill.unloads[MODEL], ill.loads[MODEL]) == (2, 3)


@pytest.mark.slow
def test_an_attempt_that_another_worker_makes_does_not_lengthen_our_pause(
    stack: Stack, ill: OllamaStandin
) -> None:
    assert stack.store.claims.take(f"heal:{ill.url}:{MODEL}", 1)
    ill.knobs.slow_after = 4
    with scene(stack, ill, healing=OFTEN) as running:
        for _ in range(8):
            running.caption()
        running.wait(ill, lambda host: host.heals.get("left to another worker"))
        assert running.engine._healer._pause_s == {}
        assert running.wait(ill, lambda host: host.heals.get("healed")).degraded == {}


@pytest.mark.slow
def test_the_time_that_loading_takes_is_shown(stack: Stack, ill: OllamaStandin) -> None:
    ill.knobs.load_s = 0.6
    with scene(stack, ill, stall_s=5) as running:
        running.caption()
        running.caption()
        host = running.wait(ill, lambda host: host.load_s)
    assert host.load_s[MODEL] == pytest.approx(0.6, abs=0.3)
