"""How the Ollama stand-in slows down and fails when its knobs are set."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import ollama
import pytest
import requests

from tests.conftest import plain
from tests.ollama.conftest import LABELS, MODEL, caption, connect, speed
from tests.ollama_standin import OllamaStandin
from tests.stack import wait_for


def labels(client: ollama.Client) -> ollama.GenerateResponse:
    return client.generate("gemma3", "Labels.", images=[plain(51)], format=LABELS)


def gpu_share(client: ollama.Client) -> float:
    (model,) = client.ps().models
    assert model.size
    return (model.size_vram or 0) / model.size


def test_a_model_becomes_slow_until_a_reload(server: OllamaStandin, client: ollama.Client) -> None:
    server.knobs.slow_after, server.knobs.slow_factor = 2, 5
    healthy, _, slow = (speed(caption(client)) for _ in range(3))
    assert healthy / slow == pytest.approx(5)
    client.generate("gemma3", keep_alive=0)
    assert [speed(caption(client)) for _ in range(4)] == [healthy] * 4


def test_a_slowdown_may_recur_after_the_reload(
    server: OllamaStandin, client: ollama.Client
) -> None:
    server.knobs.slow_after, server.knobs.recurs = 1, True
    healthy, slow = (speed(caption(client)) for _ in range(2))
    client.generate("gemma3", keep_alive=0)
    assert [speed(caption(client)) for _ in range(2)] == [healthy, slow]


def test_a_slow_model_takes_longer(server: OllamaStandin, client: ollama.Client) -> None:
    server.knobs.slow_after, server.knobs.token_s = 0, 0.01
    answer = caption(client)
    assert answer.total_duration
    assert answer.total_duration >= 0.3 * 1e9
    assert speed(answer) == pytest.approx(1 / 0.1 / 1e9)


@pytest.mark.parametrize(
    ("until", "after_reload", "after_restart"),
    [("reload", 1, 1), ("restart", 0, 1), ("never", 0, 0)],
)
def test_a_fall_to_the_cpu_is_visible_until_it_ends(
    server: OllamaStandin, client: ollama.Client, until: Any, after_reload: int, after_restart: int
) -> None:
    server.knobs.cpu_after, server.knobs.cpu_until = 1, until
    healthy = speed(caption(client))
    assert gpu_share(client) == 0
    assert healthy / speed(caption(client)) == pytest.approx(10)
    client.generate("gemma3", keep_alive=0)
    client.generate("gemma3")
    assert gpu_share(client) == after_reload
    server.restart()
    client.generate("gemma3")
    assert gpu_share(client) == after_restart


def test_a_model_may_be_only_partly_on_the_gpu(
    server: OllamaStandin, client: ollama.Client
) -> None:
    server.knobs.gpu_share = 0.25
    client.generate("gemma3")
    assert gpu_share(client) == 0.25


def test_failures_apply_to_the_next_answers_only(
    server: OllamaStandin, client: ollama.Client
) -> None:
    server.knobs.fail_next = 2
    for _ in range(2):
        with pytest.raises(ollama.ResponseError, match="terminated") as failed:
            caption(client)
        assert failed.value.status_code == 500
    assert caption(client).response == "rgb 200 1 2"


def test_a_stream_may_end_in_an_error(server: OllamaStandin, client: ollama.Client) -> None:
    server.knobs.fail_next, server.knobs.fail_at = 1, "stream"
    parts = iter(client.generate("gemma3", "x", images=[plain(1)], stream=True))
    assert next(parts).response == "rgb "
    with pytest.raises(ollama.ResponseError, match="terminated"):
        next(parts)


def test_a_stream_may_be_cut(server: OllamaStandin, client: ollama.Client) -> None:
    server.knobs.cut_next = 1
    with pytest.raises(httpx.TransportError):
        list(client.generate("gemma3", "x", stream=True))
    assert server.aborted == 0


@pytest.mark.parametrize("where", ["headers", "stream"])
def test_a_hang_lasts_until_the_client_disconnects(
    server: OllamaStandin, client: ollama.Client, where: Any
) -> None:
    server.knobs.hang_next, server.knobs.hang_at = 1, where
    limits = httpx.Timeout(9, read=0.2)
    with connect(server.url, timeout=limits) as impatient, pytest.raises(httpx.ReadTimeout):
        list(impatient.generate("gemma3", "Say.", images=[plain(1)], stream=True))
    wait_for("the abort", lambda: server.aborted)
    assert caption(client).response == "rgb 200 1 2"


def test_all_routes_may_fail_or_hang(server: OllamaStandin) -> None:
    server.knobs.fail_all = True
    assert requests.get(f"{server.url}/api/tags", timeout=9).status_code == 500
    server.knobs.hang_all = True
    with pytest.raises(requests.ReadTimeout):
        requests.get(f"{server.url}/api/ps", timeout=(9, 0.1))


def test_a_line_of_a_stream_may_be_malformed(server: OllamaStandin) -> None:
    server.knobs.malformed_next, server.knobs.malformed = 1, "<html>"
    body = {"model": "gemma3", "prompt": "x"}
    first, second = requests.post(f"{server.url}/api/generate", json=body, timeout=9).text.split(
        "\n", 1
    )
    assert json.loads(first)["response"] == "noth"
    assert second == "<html>\n"


def test_a_failure_may_have_any_message(server: OllamaStandin, client: ollama.Client) -> None:
    server.knobs.fail_next, server.knobs.fail_status, server.knobs.fail_message = 1, 422, "no"
    with pytest.raises(ollama.ResponseError, match="no") as failed:
        caption(client)
    assert failed.value.status_code == 422


def test_a_model_may_be_missing_for_once_or_in_another_case(
    server: OllamaStandin, client: ollama.Client
) -> None:
    assert client.generate("GEMMA3", "x").response == "nothing"
    server.knobs.case_sensitive = True
    with pytest.raises(ollama.ResponseError, match="model 'GEMMA3' not found"):
        client.generate("GEMMA3", "x")
    server.knobs.missing_next = 1
    with pytest.raises(ollama.ResponseError, match="model 'gemma3' not found"):
        caption(client)
    assert caption(client).response == "rgb 200 1 2"
    assert [model.model for model in client.list().models] == ["gemma3:latest", "llava:7b"]


def test_small_images_may_be_an_error(server: OllamaStandin, client: ollama.Client) -> None:
    server.knobs.min_side_px = 9  # those of the tests have 8
    with pytest.raises(ollama.ResponseError, match="must be larger than factor:9"):
        caption(client)
    server.knobs.min_side_px = 8
    assert caption(client).response == "rgb 200 1 2"


def test_an_answer_may_be_odd_for_once(server: OllamaStandin, client: ollama.Client) -> None:
    server.knobs.odd_next = 1
    assert (caption(client).response or "").startswith("I'm sorry")
    assert caption(client).response == "rgb 200 1 2"


def test_answers_may_be_unusable(server: OllamaStandin, client: ollama.Client) -> None:
    server.knobs.empty_next, server.knobs.broken_next = 1, 1
    assert caption(client).response == ""
    with pytest.raises(json.JSONDecodeError):
        json.loads(labels(client).response or "")
    assert json.loads(labels(client).response or "")["labels"]


def test_answers_may_have_unusual_forms(server: OllamaStandin, client: ollama.Client) -> None:
    server.knobs.percent = server.knobs.fenced = True
    text = labels(client).response or ""
    assert "```json\n" in text
    assert '"confidence": 20.0' in text
    server.knobs.in_thinking = True
    answer = labels(client)
    assert (answer.response, answer.thinking) == ("", text)
    server.knobs.answer, server.knobs.in_thinking = "No.", False
    assert labels(client).response == "No."


def test_parallel_generations_may_slow_each_other_down(
    server: OllamaStandin, client: ollama.Client
) -> None:
    server.knobs.contention, server.knobs.prompt_s = True, 0.1
    alone = speed(caption(client))
    with ThreadPoolExecutor(2) as pool, connect(server.url) as another:
        together = [speed(answer) for answer in pool.map(caption, (client, another))]
    assert alone / min(together) == pytest.approx(2)


def test_several_images_may_be_an_error(server: OllamaStandin, client: ollama.Client) -> None:
    server.knobs.one_image = True
    with pytest.raises(ollama.ResponseError, match="only supports one image") as refused:
        client.generate("gemma3", "x", images=[plain(1), plain(2)])
    assert refused.value.status_code == 400
    assert caption(client).response


def test_reloading_may_fail_until_a_restart(server: OllamaStandin, client: ollama.Client) -> None:
    server.knobs.reload_fails = True
    caption(client)
    client.generate("gemma3", keep_alive=0)
    with pytest.raises(ollama.ResponseError, match="terminated"):
        caption(client)
    server.restart()
    assert caption(client).response


def test_the_prompt_may_be_repeated(server: OllamaStandin, client: ollama.Client) -> None:
    server.knobs.echo = True
    assert caption(client).response == "rgb 200 1 2 Say."


def test_a_server_goes_down_with_its_connections_and_comes_back(
    server: OllamaStandin, client: ollama.Client
) -> None:
    caption(client)
    url = server.url
    server.go_down()
    with pytest.raises(ConnectionError):
        client.list()
    server.come_back()
    assert server.url == url
    assert not client.ps().models
    assert caption(client).response == "rgb 200 1 2"
    assert server.loads[MODEL] == 2


def test_going_down_ends_generations(server: OllamaStandin) -> None:
    server.knobs.hang_next = 1
    with ThreadPoolExecutor() as pool, connect(server.url) as client:
        hung = pool.submit(caption, client)
        wait_for("the request", lambda: server.in_flight)
        server.go_down()
        with pytest.raises((httpx.TransportError, ConnectionError)):
            hung.result()
    assert server.aborted == 0


def test_unknown_knobs_are_an_error(server: OllamaStandin) -> None:
    assert requests.post(f"{server.url}/standin", json={"speed": 1}, timeout=9).status_code == 400
    assert (
        requests.post(f"{server.url}/standin", json={"load_s": 0.5}, timeout=9).status_code == 200
    )
    assert server.knobs.load_s == 0.5
