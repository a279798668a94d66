"""The Ollama stand-in, tested with Ollama's official Python client."""

import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor

import ollama
import pytest
import requests
from pydantic import BaseModel

from tests import raw_http
from tests.conftest import plain
from tests.ollama.conftest import LABELS, MODEL, caption, connect
from tests.ollama_standin import OllamaProcess, OllamaStandin, Spec
from tests.stack import wait_for

GENERATE = raw_http.caption_request(
    "/api/generate", model="gemma3", prompt="Say.", images=[], stream=False
)


def test_installed_models_are_listed_and_described(client: ollama.Client) -> None:
    assert [model.model for model in client.list().models] == [MODEL, "llava:7b"]
    shown = client.show("LLaVA:7b")
    assert shown.capabilities == ["completion", "vision"]
    assert shown.modelinfo
    assert client.list().models[0].size == 4_000_000_000


def test_the_server_has_a_greeting_and_a_version(server: OllamaStandin) -> None:
    assert requests.get(server.url, timeout=9).text == "Ollama is running"
    assert requests.head(server.url, timeout=9).status_code == 200
    assert requests.get(f"{server.url}/api/version", timeout=9).json()["version"]


def test_an_answer_has_the_colour_and_measurements(
    server: OllamaStandin, client: ollama.Client
) -> None:
    server.knobs.load_s = 0.05
    answer = caption(client, system="Be short.", options={"temperature": 0.1})
    assert answer.response == "rgb 200 1 2"
    assert (answer.done, answer.done_reason, answer.model) == (True, "stop", "gemma3")
    assert answer.prompt_eval_count
    assert answer.load_duration
    assert answer.load_duration >= 50_000_000
    assert answer.total_duration
    assert answer.total_duration >= answer.load_duration
    (recorded,) = server.generates()
    assert recorded.body
    assert recorded.body["images"] == 1
    assert len(recorded.images[0]) == 64
    assert recorded.body["options"] == {"temperature": 0.1}
    assert recorded.body["system"] == "Be short."


def test_streaming_is_the_default_and_the_parts_add_up(
    server: OllamaStandin, client: ollama.Client
) -> None:
    parts = list(client.generate("gemma3", "Say.", images=[plain(9)], stream=True))
    assert len(parts) > 2
    assert "".join(part.response or "" for part in parts) == "rgb 9 0 0"
    assert [part.done for part in parts[-2:]] == [False, True]
    assert (parts[0].eval_count, parts[-1].eval_count) == (None, len(parts) - 1)
    raw = requests.post(
        f"{server.url}/api/generate", json={"model": "gemma3", "prompt": "Say."}, timeout=9
    )
    assert raw.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line)["done"] for line in raw.text.splitlines()][-1]


def test_chat_answers_with_a_message(client: ollama.Client) -> None:
    messages = [{"role": "user", "content": "Say.", "images": [plain(7), plain(8)]}]
    answer = client.chat("gemma3", messages)
    assert answer.message.role == "assistant"
    assert answer.message.content == "rgb 7 0 0 rgb 8 0 0"
    streamed = list(client.chat("gemma3", messages, stream=True))
    assert "".join(part.message.content or "" for part in streamed) == answer.message.content
    assert streamed[-1].eval_duration


def test_a_schema_is_followed_with_one_item_per_image(client: ollama.Client) -> None:
    answer = client.generate("gemma3", "Go.", images=[plain(51), plain(255)], format=LABELS)
    assert json.loads(answer.response or "") == {
        "labels": [
            {"name": "rgb 51 0 0", "confidence": 0.2},
            {"name": "rgb 255 0 0", "confidence": 1.0},
        ]
    }


def test_a_schema_of_pydantic_is_followed(client: ollama.Client) -> None:
    class Verdict(BaseModel):
        nsfw: bool
        score: float | None

    class Whole(BaseModel):
        verdict: Verdict
        percent: int

    answer = client.generate("gemma3", "x", images=[plain(255)], format=Whole.model_json_schema())
    whole = Whole.model_validate_json(answer.response or "")
    assert whole == Whole(verdict=Verdict(nsfw=True, score=1.0), percent=100)


@pytest.mark.parametrize(
    ("prompt", "key"),
    [("Return labels.", "labels"), ("Is it NSFW?", "nsfw"), ("Describe it.", "caption")],
)
def test_json_without_a_schema_follows_the_prompt(
    client: ollama.Client, prompt: str, key: str
) -> None:
    answer = client.generate("gemma3", prompt, images=[plain(255)], format="json")
    assert key in json.loads(answer.response or "")


def test_options_shorten_the_answer(client: ollama.Client) -> None:
    short = caption(client, options={"num_predict": 1})
    assert (short.response, short.done_reason) == ("rgb ", "length")
    assert caption(client, options={"stop": [" 1"]}).response == "rgb 200"


def test_models_load_on_first_use_and_unload_on_request(
    server: OllamaStandin, client: ollama.Client
) -> None:
    assert not client.ps().models
    assert client.generate("gemma3").done_reason == "load"
    (model,) = client.ps().models
    assert (model.model, model.size_vram) == (MODEL, model.size)
    assert model.expires_at
    caption(client)
    assert server.loads[MODEL] == 1
    assert client.generate("gemma3", keep_alive=0).done_reason == "unload"
    assert not client.ps().models
    assert client.chat("gemma3").done_reason == "load"
    assert client.chat("gemma3", keep_alive="0s").done_reason == "unload"
    assert (server.loads[MODEL], server.unloads[MODEL]) == (2, 2)


@pytest.mark.parametrize(("keep_alive", "loaded"), [(0, 0), ("1ms", 0), ("1h30m", 1), (-1, 1)])
def test_keep_alive_says_how_long_a_model_stays_loaded(
    client: ollama.Client, keep_alive: str | int, loaded: int
) -> None:
    caption(client, keep_alive=keep_alive)
    wait_for("the expiry", lambda: len(client.ps().models) == loaded)


def test_an_expired_model_is_loaded_again(server: OllamaStandin, client: ollama.Client) -> None:
    caption(client, keep_alive="1ms")
    time.sleep(0.01)
    caption(client)
    assert server.loads[MODEL] == 2


def test_an_unload_waits_for_generations_and_the_model_is_listed_until_then(
    server: OllamaStandin, client: ollama.Client
) -> None:
    server.knobs.hang_next, server.knobs.unload_s = 1, 0.2
    with raw_http.connect(server.url) as line:
        line.sendall(GENERATE)
        wait_for("the hang", lambda: not server.knobs.hang_next)
        client.generate("gemma3", keep_alive=0)
        assert client.ps().models
    wait_for("the unload", lambda: not client.ps().models)
    assert server.aborted == 1


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("generate", b"{", 400, "invalid character"),
        ("generate", b"", 400, "missing request body"),
        ("generate", b'{"prompt": "x"}', 400, "invalid model name"),
        ("generate", b'{"model": "nope", "prompt": "x"}', 404, "model 'nope' not found"),
        ("chat", b'{"model": "gemma3", "messages": "x"}', 400, "cannot unmarshal"),
        ("chat", b'{"model": "gemma3", "keep_alive": "soon"}', 400, "invalid duration"),
        ("generate", b'{"model": "gemma3", "prompt": "x", "format": "xml"}', 500, "invalid format"),
        ("generate", b'{"model": "gemma3", "images": ["data:image/png,"]}', 400, "base64"),
        ("generate", b'{"model": "gemma3", "prompt": "x", "images": ["QUJD"]}', 500, "image"),
        ("show", b"{}", 400, "model is required"),
    ],
)
def test_bad_requests_are_refused_with_a_reason(
    server: OllamaStandin, path: str, body: bytes, status: int, message: str
) -> None:
    answer = requests.post(f"{server.url}/api/{path}", data=body, timeout=9)
    assert answer.status_code == status
    assert message in answer.json()["error"]


def test_the_client_sees_unknown_models_and_missing_abilities(client: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError, match="model 'nope' not found") as unknown:
        client.generate("nope", "x")
    assert unknown.value.status_code == 404
    with pytest.raises(ollama.ResponseError, match="does not support thinking"):
        client.generate("gemma3", "x", think=True)


def test_unknown_routes_are_404(server: OllamaStandin) -> None:
    assert requests.post(f"{server.url}/api/nothing", timeout=9).status_code == 404
    assert requests.get(f"{server.url}/api/generate", timeout=9).status_code == 405


def test_a_thinking_model_thinks_unless_it_is_turned_off() -> None:
    with OllamaStandin({"qwen3-vl": Spec(thinks=True)}) as server, connect(server.url) as client:
        assert client.generate("qwen3-vl", "x").thinking
        assert not client.generate("qwen3-vl", "x", think=False).thinking
        message = client.chat("qwen3-vl", [{"role": "user", "content": "x"}], think=True).message
        assert (message.thinking, message.content) == ("Let me look at the colour.", "nothing")


def test_a_key_is_required(server: OllamaStandin, client: ollama.Client) -> None:
    server.knobs.key = "secret"
    with pytest.raises(ollama.ResponseError, match="unauthorized"):
        client.list()
    with connect(server.url, headers={"Authorization": "Bearer secret"}) as known:
        assert known.list().models


def test_requests_beyond_the_slots_wait(server: OllamaStandin) -> None:
    server.knobs.parallel, server.knobs.hang_next, server.knobs.hang_at = 2, 2, "stream"
    with ThreadPoolExecutor(4) as pool, connect(server.url) as client:
        with raw_http.connect(server.url) as one, raw_http.connect(server.url) as other:
            one.sendall(GENERATE)
            other.sendall(GENERATE)
            wait_for("two generations", lambda: server.active == 2)
            answers = [pool.submit(caption, client) for _ in range(4)]
            wait_for("the others", lambda: server.in_flight == 6)
            assert server.answered == 0
        assert [answer.result().response for answer in answers] == ["rgb 200 1 2"] * 4
    assert server.most_active == 2
    assert server.loads[MODEL] == 1


def test_a_full_queue_is_503(server: OllamaStandin, client: ollama.Client) -> None:
    server.knobs.max_queue = 0
    with pytest.raises(ollama.ResponseError, match="server busy") as busy:
        caption(client)
    assert busy.value.status_code == 503


def test_a_client_that_disconnects_ends_the_generation(server: OllamaStandin) -> None:
    server.knobs.token_s = 30
    with raw_http.connect(server.url) as line:
        line.sendall(GENERATE)
        wait_for("the generation", lambda: server.active)
    wait_for("the abort", lambda: server.aborted)
    assert (server.active, server.answered) == (0, 0)
    assert server.generates()[0].aborted


def test_images_may_come_as_base64_text(client: ollama.Client) -> None:
    image = base64.b64encode(plain(5)).decode()
    assert client.generate("gemma3", "x", images=[image]).response == "rgb 5 0 0"


def test_a_process_can_be_killed_and_started_again() -> None:
    with OllamaProcess(("gemma3",), load_s=0.01) as process, connect(process.url) as client:
        before = process.url
        assert caption(client).response == "rgb 200 1 2"
        process.set(fail_next=1)
        with pytest.raises(ollama.ResponseError):
            caption(client)
        assert process.state()["answered"] == 1
        process.kill()
        with pytest.raises(ConnectionError):
            client.list()
        process.start()
        assert (process.url, process.state()["answered"]) == (before, 0)
        assert caption(client).response == "rgb 200 1 2"


def test_a_restart_by_webhook_unloads_models(server: OllamaStandin, client: ollama.Client) -> None:
    caption(client)
    assert requests.post(f"{server.url}/standin/restart", timeout=9).status_code == 202
    wait_for("the restart", lambda: server.restarts)
    assert not client.ps().models
