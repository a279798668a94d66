"""The Ollama stand-in, held to the official Python client."""

import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import ollama
import pytest
import requests
from pydantic import BaseModel

from tests.conftest import plain
from tests.ollama.conftest import LABELS, MODEL, caption, client
from tests.ollama_standin import OllamaProcess, OllamaStandin, Spec
from tests.stack import wait_for


def test_installed_models_are_listed_and_described(ask: ollama.Client) -> None:
    assert [model.model for model in ask.list().models] == [MODEL, "llava:7b"]
    shown = ask.show("LLaVA:7b")
    assert shown.capabilities == ["completion", "vision"]
    assert shown.modelinfo
    assert ask.list().models[0].size == 4_000_000_000


def test_the_server_tells_its_name_and_version(host: OllamaStandin) -> None:
    assert requests.get(host.url, timeout=9).text == "Ollama is running"
    assert requests.head(host.url, timeout=9).status_code == 200
    assert requests.get(f"{host.url}/api/version", timeout=9).json()["version"]


def test_an_answer_says_the_colour_and_what_it_took(
    host: OllamaStandin, ask: ollama.Client
) -> None:
    host.knobs.load_s = 0.05
    answer = caption(ask, system="Be short.", options={"temperature": 0.1})
    assert answer.response == "rgb 200 1 2"
    assert (answer.done, answer.done_reason, answer.model) == (True, "stop", "gemma3")
    assert answer.prompt_eval_count
    assert answer.load_duration
    assert answer.load_duration >= 50_000_000
    assert answer.total_duration
    assert answer.total_duration >= answer.load_duration
    (recorded,) = host.generates()
    assert recorded.body
    assert recorded.body["images"] == 1
    assert len(recorded.images[0]) == 64
    assert recorded.body["options"] == {"temperature": 0.1}
    assert recorded.body["system"] == "Be short."


def test_a_stream_is_the_default_and_adds_up(host: OllamaStandin, ask: ollama.Client) -> None:
    pieces = list(ask.generate("gemma3", "Say.", images=[plain(9)], stream=True))
    assert len(pieces) > 2
    assert "".join(piece.response or "" for piece in pieces) == "rgb 9 0 0"
    assert [piece.done for piece in pieces[-2:]] == [False, True]
    assert (pieces[0].eval_count, pieces[-1].eval_count) == (None, len(pieces) - 1)
    raw = requests.post(
        f"{host.url}/api/generate", json={"model": "gemma3", "prompt": "Say."}, timeout=9
    )
    assert raw.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line)["done"] for line in raw.text.splitlines()][-1]


def test_chat_answers_with_a_message(ask: ollama.Client) -> None:
    messages = [{"role": "user", "content": "Say.", "images": [plain(7), plain(8)]}]
    answer = ask.chat("gemma3", messages)
    assert answer.message.role == "assistant"
    assert answer.message.content == "rgb 7 0 0 rgb 8 0 0"
    streamed = list(ask.chat("gemma3", messages, stream=True))
    assert "".join(piece.message.content or "" for piece in streamed) == answer.message.content
    assert streamed[-1].eval_duration


def test_a_schema_is_followed_with_one_item_per_image(ask: ollama.Client) -> None:
    answer = ask.generate("gemma3", "Go.", images=[plain(51), plain(255)], format=LABELS)
    assert json.loads(answer.response or "") == {
        "labels": [
            {"name": "rgb 51 0 0", "confidence": 0.2},
            {"name": "rgb 255 0 0", "confidence": 1.0},
        ]
    }


def test_a_schema_of_pydantic_is_followed(ask: ollama.Client) -> None:
    class Verdict(BaseModel):
        nsfw: bool
        score: float | None

    class Whole(BaseModel):
        verdict: Verdict
        percent: int

    answer = ask.generate("gemma3", "x", images=[plain(255)], format=Whole.model_json_schema())
    whole = Whole.model_validate_json(answer.response or "")
    assert whole == Whole(verdict=Verdict(nsfw=True, score=1.0), percent=100)


@pytest.mark.parametrize(
    ("prompt", "key"),
    [("Return labels.", "labels"), ("Is it NSFW?", "nsfw"), ("Describe it.", "caption")],
)
def test_json_without_a_schema_goes_by_the_prompt(
    ask: ollama.Client, prompt: str, key: str
) -> None:
    answer = ask.generate("gemma3", prompt, images=[plain(255)], format="json")
    assert key in json.loads(answer.response or "")


def test_options_cut_the_answer(ask: ollama.Client) -> None:
    short = caption(ask, options={"num_predict": 1})
    assert (short.response, short.done_reason) == ("rgb ", "length")
    assert caption(ask, options={"stop": [" 1"]}).response == "rgb 200"


def test_models_load_on_first_use_and_unload_on_request(
    host: OllamaStandin, ask: ollama.Client
) -> None:
    assert not ask.ps().models
    assert ask.generate("gemma3").done_reason == "load"
    (model,) = ask.ps().models
    assert (model.model, model.size_vram) == (MODEL, model.size)
    assert model.expires_at
    caption(ask)
    assert host.loads[MODEL] == 1
    assert ask.generate("gemma3", keep_alive=0).done_reason == "unload"
    assert not ask.ps().models
    assert ask.chat("gemma3").done_reason == "load"
    assert ask.chat("gemma3", keep_alive="0s").done_reason == "unload"
    assert (host.loads[MODEL], host.unloads[MODEL]) == (2, 2)


@pytest.mark.parametrize(("keep_alive", "shown"), [(0, 0), ("1ms", 0), ("1h30m", 1), (-1, 1)])
def test_keep_alive_ends_the_stay_in_memory(
    ask: ollama.Client, keep_alive: str | int, shown: int
) -> None:
    caption(ask, keep_alive=keep_alive)
    wait_for("the expiry", lambda: len(ask.ps().models) == shown, 5)


def test_an_expired_model_is_loaded_again(host: OllamaStandin, ask: ollama.Client) -> None:
    caption(ask, keep_alive="1ms")
    time.sleep(0.01)
    caption(ask)
    assert host.loads[MODEL] == 2


def test_an_unload_waits_for_generations_and_shows_until_done(
    host: OllamaStandin, ask: ollama.Client
) -> None:
    host.knobs.hang_next, host.knobs.unload_s = 1, 0.2
    with ThreadPoolExecutor() as pool, client(host.url, timeout=0.7) as impatient:
        hung = pool.submit(caption, impatient)
        wait_for("the load", lambda: ask.ps().models, 5)
        ask.generate("gemma3", keep_alive=0)
        assert ask.ps().models
        with pytest.raises(httpx.ReadTimeout):
            hung.result()
    wait_for("the unload", lambda: not ask.ps().models, 5)
    assert host.aborted == 1


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
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
    host: OllamaStandin, path: str, body: bytes, status: int, says: str
) -> None:
    answer = requests.post(f"{host.url}/api/{path}", data=body, timeout=9)
    assert answer.status_code == status
    assert says in answer.json()["error"]


def test_the_client_sees_unknown_models_and_missing_abilities(ask: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError, match="model 'nope' not found") as unknown:
        ask.generate("nope", "x")
    assert unknown.value.status_code == 404
    with pytest.raises(ollama.ResponseError, match="does not support thinking"):
        ask.generate("gemma3", "x", think=True)


def test_paths_that_are_not_there_are_404(host: OllamaStandin) -> None:
    assert requests.post(f"{host.url}/api/nothing", timeout=9).status_code == 404
    assert requests.get(f"{host.url}/api/generate", timeout=9).status_code == 405


def test_a_thinking_model_thinks_unless_told_not_to() -> None:
    with OllamaStandin({"qwen3-vl": Spec(thinks=True)}) as host, client(host.url) as ask:
        assert ask.generate("qwen3-vl", "x").thinking
        assert not ask.generate("qwen3-vl", "x", think=False).thinking
        message = ask.chat("qwen3-vl", [{"role": "user", "content": "x"}], think=True).message
        assert (message.thinking, message.content) == ("Let me look at the colour.", "nothing")


def test_a_key_is_asked_for(host: OllamaStandin, ask: ollama.Client) -> None:
    host.knobs.key = "secret"
    with pytest.raises(ollama.ResponseError, match="unauthorized"):
        ask.list()
    with client(host.url, headers={"Authorization": "Bearer secret"}) as known:
        assert known.list().models


def test_requests_beyond_the_slots_wait_in_line(host: OllamaStandin) -> None:
    host.knobs.parallel, host.knobs.prompt_s = 2, 0.05
    with ThreadPoolExecutor(6) as pool, client(host.url) as ask:
        answers = list(pool.map(lambda _: caption(ask).response, range(6)))
    assert answers == ["rgb 200 1 2"] * 6
    assert host.most_active == 2
    assert host.most_in_flight > 2
    assert host.loads[MODEL] == 1


def test_a_full_line_is_503(host: OllamaStandin, ask: ollama.Client) -> None:
    host.knobs.max_queue = 0
    with pytest.raises(ollama.ResponseError, match="server busy") as busy:
        caption(ask)
    assert busy.value.status_code == 503


def test_a_client_that_leaves_ends_the_generation(host: OllamaStandin) -> None:
    host.knobs.token_s = 30
    with client(host.url, timeout=0.2) as impatient, pytest.raises(httpx.ReadTimeout):
        caption(impatient)
    wait_for("the abort", lambda: host.aborted, 5)
    assert (host.active, host.answered) == (0, 0)
    assert host.generates()[0].aborted


def test_images_may_come_as_base64_text(ask: ollama.Client) -> None:
    image = base64.b64encode(plain(5)).decode()
    assert ask.generate("gemma3", "x", images=[image]).response == "rgb 5 0 0"


def test_a_process_can_be_killed_and_started_again() -> None:
    with OllamaProcess(("gemma3",), load_s=0.01) as process, client(process.url) as ask:
        before = process.url
        assert caption(ask).response == "rgb 200 1 2"
        process.turn(fail_next=1)
        with pytest.raises(ollama.ResponseError):
            caption(ask)
        assert process.state()["answered"] == 1
        process.kill()
        with pytest.raises(ConnectionError):
            ask.list()
        process.start()
        assert (process.url, process.state()["answered"]) == (before, 0)
        assert caption(ask).response == "rgb 200 1 2"


def test_a_restart_by_webhook_frees_the_memory(host: OllamaStandin, ask: ollama.Client) -> None:
    caption(ask)
    assert requests.post(f"{host.url}/standin/restart", timeout=9).status_code == 202
    wait_for("the restart", lambda: host.restarts, 5)
    assert not ask.ps().models
