"""Ollama's own client library with our service: Ollama's models, and our own."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import ollama as ollama_client
import pytest
import requests

from tests.conftest import data_url, plain, shape
from tests.ollama_standin import OllamaStandin, Spec
from tests.ollama_standin.http import VERSION
from tests.stack import API, Stack, wait_for


@pytest.fixture(scope="module")
def base(stack_with_ollama: Stack) -> str:
    return stack_with_ollama.api(VISION_API_KEYS="sesame", VISION_URL_ALLOW="127.0.0.0/8")


@pytest.fixture
def client(base: str) -> Iterator[ollama_client.Client]:
    with ollama_client.Client(base, headers={"Authorization": "Bearer sesame"}) as ready:
        yield ready


def test_a_model_of_ollama_generates_in_one_piece_and_as_a_stream(
    client: ollama_client.Client,
) -> None:
    whole = client.generate("llava:7b", "what?", images=[plain(8)], stream=False)
    assert (whole.response or "").startswith("rgb 8 0 0")
    assert whole.eval_count
    parts = list(client.generate("llava:7b", "what?", images=[plain(8)], stream=True))
    assert len(parts) > 2
    assert "".join(part.response or "" for part in parts) == whole.response
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]


def test_a_stream_arrives_while_it_is_generated(
    client: ollama_client.Client, standin: OllamaStandin
) -> None:
    standin.knobs.hang_next, standin.knobs.hang_at = 1, "stream"
    parts = client.generate("llava:7b", "what?", images=[plain(8)], stream=True)
    assert (next(iter(parts)).response or "").strip() == "rgb"
    before = standin.aborted
    parts.close()  # type: ignore[attr-defined]
    wait_for("the server to stop", lambda: standin.aborted > before)


def test_a_chat_with_images_reaches_ollama_unchanged(
    client: ollama_client.Client, standin: OllamaStandin
) -> None:
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "this one", "images": [plain(4)]},
        {"role": "assistant", "content": "yes"},
        {"role": "user", "content": "and this", "images": [plain(6)]},
    ]
    reply = client.chat("llava:7b", messages, stream=False, options={"seed": 3})
    assert reply.message.content
    sent = standin.generates()[-1].body or {}
    assert sent["options"] == {"seed": 3}
    assert [message["role"] for message in sent["messages"]] == [m["role"] for m in messages]
    assert len(standin.generates()[-1].images) == 2
    streamed = "".join(
        part.message.content or "" for part in client.chat("llava:7b", messages, stream=True)
    )
    assert streamed == reply.message.content


def test_every_field_of_a_request_reaches_ollama(
    client: ollama_client.Client, standin: OllamaStandin
) -> None:
    standin.models["llava:7b"].spec = Spec(thinks=True)
    schema = {"type": "object", "properties": {"name": {"type": "string"}}}
    fields: dict[str, Any] = {
        "suffix": "the end",
        "system": "be brief",
        "context": [1, 2, 3],
        "raw": True,
        "format": schema,
        "think": True,
        "keep_alive": "1h",
        "options": {"seed": 3, "num_ctx": 512},
    }
    reply = client.generate("llava:7b", "what?", images=[plain(8)], stream=False, **fields)
    assert json.loads(reply.response or "")["name"] == "rgb 8 0 0"
    assert reply.thinking
    sent = standin.generates()[-1].body or {}
    assert {name: sent[name] for name in fields} == fields
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    client.chat("llava:7b", [{"role": "user", "content": "x"}], tools=[tool], think=False)
    sent = standin.generates()[-1].body or {}
    assert sent["tools"][0]["function"]["name"] == "look"
    assert sent["think"] is False


def test_the_root_and_the_version_are_answered_as_by_ollama(base: str) -> None:
    root = requests.get(base, timeout=30)
    assert (root.status_code, root.text) == (200, "Ollama is running")
    head = requests.head(f"{base}/", timeout=30)
    assert (head.status_code, head.text) == (200, "")
    key = {"Authorization": "Bearer sesame"}
    version = requests.get(f"{base}/api/version", headers=key, timeout=30).json()
    assert version == {"version": VERSION}


@pytest.mark.parametrize(
    "manage",
    [
        lambda client: client.pull("llava:13b"),
        lambda client: client.push("llava:13b"),
        lambda client: client.create("mine", from_="llava:7b"),
        lambda client: client.copy("llava:7b", "mine"),
        lambda client: client.delete("llava:7b"),
        lambda client: list(client.pull("llava:13b", stream=True)),
    ],
    ids=["pull", "push", "create", "copy", "delete", "pull-streamed"],
)
def test_models_are_not_managed_here(
    client: ollama_client.Client, manage: Callable[[ollama_client.Client], object]
) -> None:
    with pytest.raises(ollama_client.ResponseError, match="not managed here") as refused:
        manage(client)
    assert refused.value.status_code == 403


def test_our_own_models_are_listed_with_ollamas(client: ollama_client.Client) -> None:
    names = {str(entry.model) for entry in client.list().models}
    assert {"llava:7b", "fake:7"} <= names
    assert "blip:latest" not in names  # no worker
    assert "fake:7" in {str(entry.model) for entry in client.ps().models}
    assert client.show("llava:7b").capabilities
    assert "vision" in (client.show("fake").capabilities or ())


def test_our_own_model_returns_a_caption(client: ollama_client.Client) -> None:
    image = plain(5)
    reply = client.generate("fake:7", "", images=[image], stream=False)
    assert reply.response == "rgb 5 0 0"
    streamed = client.generate("fake", "", images=[image], stream=True)
    assert "".join(part.response or "" for part in streamed) == "rgb 5 0 0"
    message = {"role": "user", "content": "", "images": [image]}
    assert client.chat("fake:latest", [message]).message.content == "rgb 5 0 0"


def test_our_own_model_answers_a_follow_up_question_with_the_image_of_an_earlier_message(
    client: ollama_client.Client,
) -> None:
    chat: list[dict[str, Any]] = [{"role": "user", "content": "what", "images": [plain(5)]}]
    answer = client.chat("fake", chat).message
    assert answer.content == "rgb 5 0 0 what"
    chat += [{"role": "assistant", "content": answer.content}, {"role": "user", "content": "where"}]
    assert client.chat("fake", chat).message.content == "rgb 5 0 0 where"
    chat += [{"role": "user", "content": "", "images": [plain(6)]}]
    assert client.chat("fake", chat).message.content == "rgb 6 0 0 where"
    assert client.chat("FAKE:7", chat).message.content == "rgb 6 0 0 where"


def test_a_prompt_of_any_length_reaches_ollama(
    client: ollama_client.Client, base: str, standin: OllamaStandin
) -> None:
    prompt = "Which of these do you see? " + "word, " * 20_000
    client.generate("llava:7b", prompt, images=[plain(8)], stream=False)
    assert standin.generates()[-1].body["prompt"] == prompt  # type: ignore[index]
    body = {"model": "llava:7b", "images": [data_url(plain(8))], "prompt": prompt}
    key = {"Authorization": "Bearer sesame"}
    reply = requests.post(f"{base}{API}/caption", json=body, headers=key, timeout=60)
    assert reply.status_code == 200
    assert standin.generates()[-1].body["prompt"].startswith(prompt)  # type: ignore[index]
    own = requests.post(f"{base}{API}/caption/fake", json=body, headers=key, timeout=60)
    assert own.status_code == 400
    assert "fake takes at most 8192" in own.json()["error"]


@pytest.mark.parametrize("wanted", ["json", {}, {"type": "object", "properties": {"labels": {}}}])
def test_our_own_model_returns_labels_if_a_format_is_set(
    client: ollama_client.Client, wanted: Any
) -> None:
    reply = client.generate("fake", "", images=[plain(5)], format=wanted, stream=False)
    labels = json.loads(reply.response or "")["labels"]
    assert [(label["name"], label["confidence"]) for label in labels] == [("rgb 5 0 0", 0.5)]


@pytest.mark.slow
def test_kosmos_2_describes_and_labels_through_ollamas_api(
    client: ollama_client.Client, stack_with_ollama: Stack
) -> None:
    stack_with_ollama.worker("kosmos-2")
    image = shape("blue", "square")
    words = client.generate("kosmos-2", "Describe it.", images=[image], stream=False)
    assert words.response == "A blue square"
    structured = client.generate("kosmos-2", "", images=[image], format="json", stream=False)
    assert json.loads(structured.response or "")["labels"][0]["name"] == "blue square"


def test_photoprisms_ollama_engine_gets_what_it_reads(base: str) -> None:
    body = {
        "model": "fake",
        "prompt": "List labels as JSON.",
        "format": "json",
        "stream": False,
        "think": False,
        "images": [data_url(plain(5)).partition(",")[2]],
    }
    reply = requests.post(
        f"{base}/api/generate", json=body, auth=("user", "sesame"), timeout=60
    ).json()
    assert reply["done"] is True
    assert json.loads(reply["response"])["labels"]


def test_errors_are_reported_as_ollama_reports_them(
    client: ollama_client.Client, base: str
) -> None:
    with pytest.raises(ollama_client.ResponseError, match="unheard-of") as missing:
        client.generate("unheard-of", "x")
    assert missing.value.status_code == 404
    with pytest.raises(ollama_client.ResponseError, match="image") as imageless:
        client.generate("fake", "x")
    assert imageless.value.status_code == 400
    reply = requests.post(f"{base}/api/generate", json={"model": "fake"}, timeout=30)
    assert reply.status_code == 401


def test_an_interrupted_stream_ends_with_the_error(
    client: ollama_client.Client, standin: OllamaStandin
) -> None:
    standin.knobs.cut_next = 1
    with pytest.raises(ollama_client.ResponseError, match="llava:7b"):
        list(client.generate("llava:7b", "what?", images=[plain(8)], stream=True))


def test_requests_to_load_and_unload_are_passed_on(
    client: ollama_client.Client, standin: OllamaStandin
) -> None:
    assert client.generate("llava:7b", stream=False).done_reason == "load"
    assert client.generate("llava:7b", keep_alive=0, stream=False).done_reason == "unload"
    assert client.generate("fake", stream=False).done_reason == "load"


def test_the_vision_routes_are_still_there(base: str) -> None:
    body = {"model": "fake", "images": [data_url(plain(3))]}
    reply = requests.post(
        f"{base}{API}/caption", json=body, headers={"Authorization": "Bearer sesame"}, timeout=60
    )
    assert reply.json()["result"]["caption"]["text"] == "rgb 3 0 0"
