"""How the Ollama stand-in declines and fails when its knobs are turned."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import ollama
import pytest
import requests

from tests.conftest import plain
from tests.ollama.conftest import LABELS, MODEL, caption, client, speed
from tests.ollama_standin import OllamaStandin
from tests.stack import wait_for


def labels(ask: ollama.Client) -> ollama.GenerateResponse:
    return ask.generate("gemma3", "Labels.", images=[plain(51)], format=LABELS)


def gpu_share(ask: ollama.Client) -> float:
    (model,) = ask.ps().models
    assert model.size
    return (model.size_vram or 0) / model.size


def test_a_model_gets_slow_and_a_reload_cures_it_for_good(
    host: OllamaStandin, ask: ollama.Client
) -> None:
    host.knobs.slow_after, host.knobs.slow_factor = 2, 5
    healthy, _, slow = (speed(caption(ask)) for _ in range(3))
    assert healthy / slow == pytest.approx(5)
    ask.generate("gemma3", keep_alive=0)
    assert [speed(caption(ask)) for _ in range(4)] == [healthy] * 4


def test_a_relapse_counts_again_after_the_cure(host: OllamaStandin, ask: ollama.Client) -> None:
    host.knobs.slow_after, host.knobs.relapse = 1, True
    healthy, slow = (speed(caption(ask)) for _ in range(2))
    ask.generate("gemma3", keep_alive=0)
    assert [speed(caption(ask)) for _ in range(2)] == [healthy, slow]


def test_slowness_takes_time(host: OllamaStandin, ask: ollama.Client) -> None:
    host.knobs.slow_after, host.knobs.token_s = 0, 0.01
    answer = caption(ask)
    assert answer.total_duration
    assert answer.total_duration >= 0.3 * 1e9
    assert speed(answer) == pytest.approx(1 / 0.1 / 1e9)


@pytest.mark.parametrize(
    ("cure", "after_reload", "after_restart"),
    [("reload", 1, 1), ("restart", 0, 1), ("never", 0, 0)],
)
def test_a_fall_to_the_cpu_shows_until_it_is_cured(
    host: OllamaStandin, ask: ollama.Client, cure: Any, after_reload: int, after_restart: int
) -> None:
    host.knobs.cpu_after, host.knobs.cpu_cure = 1, cure
    healthy = speed(caption(ask))
    assert gpu_share(ask) == 0
    assert healthy / speed(caption(ask)) == pytest.approx(10)
    ask.generate("gemma3", keep_alive=0)
    ask.generate("gemma3")
    assert gpu_share(ask) == after_reload
    host.restart()
    ask.generate("gemma3")
    assert gpu_share(ask) == after_restart


def test_a_model_may_be_only_partly_on_the_gpu(host: OllamaStandin, ask: ollama.Client) -> None:
    host.knobs.gpu_share = 0.25
    ask.generate("gemma3")
    assert gpu_share(ask) == 0.25


def test_failures_hit_the_next_answers_only(host: OllamaStandin, ask: ollama.Client) -> None:
    host.knobs.fail_next = 2
    for _ in range(2):
        with pytest.raises(ollama.ResponseError, match="terminated") as failed:
            caption(ask)
        assert failed.value.status_code == 500
    assert caption(ask).response == "rgb 200 1 2"


def test_a_stream_may_end_in_an_error(host: OllamaStandin, ask: ollama.Client) -> None:
    host.knobs.fail_next, host.knobs.fail_at = 1, "stream"
    pieces = iter(ask.generate("gemma3", "x", images=[plain(1)], stream=True))
    assert next(pieces).response == "rgb "
    with pytest.raises(ollama.ResponseError, match="terminated"):
        next(pieces)


def test_a_stream_may_be_cut(host: OllamaStandin, ask: ollama.Client) -> None:
    host.knobs.cut_next = 1
    with pytest.raises(httpx.TransportError):
        list(ask.generate("gemma3", "x", stream=True))
    assert host.aborted == 0


@pytest.mark.parametrize("where", ["headers", "stream"])
def test_a_hang_lasts_until_the_client_leaves(
    host: OllamaStandin, ask: ollama.Client, where: Any
) -> None:
    host.knobs.hang_next, host.knobs.hang_at = 1, where
    with client(host.url, timeout=0.2) as impatient, pytest.raises(httpx.ReadTimeout):
        list(impatient.generate("gemma3", "Say.", images=[plain(1)], stream=True))
    wait_for("the abort", lambda: host.aborted, 5)
    assert caption(ask).response == "rgb 200 1 2"


def test_all_paths_may_fail_or_hang(host: OllamaStandin) -> None:
    host.knobs.fail_all = True
    assert requests.get(f"{host.url}/api/tags", timeout=9).status_code == 500
    host.knobs.hang_all = True
    with pytest.raises(requests.ReadTimeout):
        requests.get(f"{host.url}/api/ps", timeout=0.1)


def test_answers_may_be_unusable(host: OllamaStandin, ask: ollama.Client) -> None:
    host.knobs.empty_next, host.knobs.broken_next = 1, 1
    assert caption(ask).response == ""
    with pytest.raises(json.JSONDecodeError):
        json.loads(labels(ask).response or "")
    assert json.loads(labels(ask).response or "")["labels"]


def test_answers_may_come_in_odd_forms(host: OllamaStandin, ask: ollama.Client) -> None:
    host.knobs.percent = host.knobs.fenced = True
    text = labels(ask).response or ""
    assert "```json\n" in text
    assert '"confidence": 20.0' in text
    host.knobs.in_thinking = True
    answer = labels(ask)
    assert (answer.response, answer.thinking) == ("", text)
    host.knobs.answer, host.knobs.in_thinking = "No.", False
    assert labels(ask).response == "No."


def test_answers_made_at_once_may_slow_each_other_down(
    host: OllamaStandin, ask: ollama.Client
) -> None:
    host.knobs.crowded, host.knobs.prompt_s = True, 0.1
    alone = speed(caption(ask))
    with ThreadPoolExecutor(2) as pool, client(host.url) as another:
        together = [speed(answer) for answer in pool.map(caption, (ask, another))]
    assert alone / min(together) == pytest.approx(2)


def test_several_images_may_be_too_many(host: OllamaStandin, ask: ollama.Client) -> None:
    host.knobs.one_image = True
    with pytest.raises(ollama.ResponseError, match="only supports one image") as refused:
        ask.generate("gemma3", "x", images=[plain(1), plain(2)])
    assert refused.value.status_code == 400
    assert caption(ask).response


def test_loading_again_may_fail_until_a_restart(host: OllamaStandin, ask: ollama.Client) -> None:
    host.knobs.reload_fails = True
    caption(ask)
    ask.generate("gemma3", keep_alive=0)
    with pytest.raises(ollama.ResponseError, match="terminated"):
        caption(ask)
    host.restart()
    assert caption(ask).response


def test_the_prompt_may_be_repeated(host: OllamaStandin, ask: ollama.Client) -> None:
    host.knobs.echo = True
    assert caption(ask).response == "rgb 200 1 2 Say."


def test_a_server_goes_down_with_its_connections_and_comes_back(
    host: OllamaStandin, ask: ollama.Client
) -> None:
    caption(ask)
    url = host.url
    host.go_down()
    with pytest.raises(ConnectionError):
        ask.list()
    host.come_back()
    assert host.url == url
    assert not ask.ps().models
    assert caption(ask).response == "rgb 200 1 2"
    assert host.loads[MODEL] == 2


def test_going_down_breaks_what_is_generated(host: OllamaStandin) -> None:
    host.knobs.hang_next = 1
    with ThreadPoolExecutor() as pool, client(host.url) as ask:
        hung = pool.submit(caption, ask)
        wait_for("the request", lambda: host.in_flight, 5)
        host.go_down()
        with pytest.raises((httpx.TransportError, ConnectionError)):
            hung.result()
    assert host.aborted == 0


def test_unknown_knobs_are_refused(host: OllamaStandin) -> None:
    assert requests.post(f"{host.url}/standin", json={"speed": 1}, timeout=9).status_code == 400
    assert requests.post(f"{host.url}/standin", json={"load_s": 0.5}, timeout=9).status_code == 200
    assert host.knobs.load_s == 0.5
