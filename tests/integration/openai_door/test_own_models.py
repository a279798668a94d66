"""OpenAI's own client library with our own models, and its errors."""

import json
from typing import Any

import openai
import pytest
import requests
from openai.types.responses import ResponseTextDeltaEvent

from tests.conftest import plain
from tests.integration.client import full_queue
from tests.integration.openai_door.questions import asks, inputs
from tests.photoprism_clients import LABELS_SCHEMA, openai_request, read_openai_reply
from tests.stack import Stack

LABELS = {"type": "json_schema", "json_schema": {"name": "labels", "schema": LABELS_SCHEMA}}


def test_our_own_model_completes_a_chat(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(model="fake", messages=asks("what", plain(5)))

    assert reply.object == "chat.completion"
    assert reply.id.startswith("chatcmpl-")
    assert reply.model == "fake"
    (choice,) = reply.choices
    assert (choice.message.role, choice.message.content) == ("assistant", "rgb 5 0 0 what")
    assert choice.finish_reason == "stop"
    assert reply.usage is None


def test_a_follow_up_question_is_about_the_image_of_an_earlier_message(
    client: openai.OpenAI,
) -> None:
    messages = [
        {"role": "developer", "content": "Be brief."},
        *asks("what", plain(5)),
        {"role": "assistant", "content": "rgb 5 0 0"},
        {"role": "user", "content": "where"},
    ]
    reply = client.chat.completions.create(model="FAKE:7", messages=messages)
    assert reply.choices[0].message.content == "rgb 5 0 0 where"


def test_our_own_model_streams_a_chat(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="fake",
        messages=asks("what", plain(5)),
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk.choices[0] for chunk in stream]
    assert chunks[0].delta.role == "assistant"
    assert "".join(chunk.delta.content or "" for chunk in chunks) == "rgb 5 0 0 what"
    assert [chunk.finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]


def test_an_image_may_be_given_by_its_url(client: openai.OpenAI, photos: str) -> None:
    messages = asks("", f"{photos}/cat.jpg")
    reply = client.chat.completions.create(model="fake", messages=messages)
    assert (reply.choices[0].message.content or "").startswith("rgb ")
    with pytest.raises(openai.InternalServerError) as missing:
        client.chat.completions.create(model="fake", messages=asks("", f"{photos}/nowhere.jpg"))
    assert missing.value.status_code == 502
    assert missing.value.code == "failed_to_download_image"


@pytest.mark.parametrize(
    "form",
    [LABELS, {"type": "json_object"}, {"type": "json_schema", "json_schema": {"schema": {}}}],
    ids=["schema", "object", "empty"],
)
def test_our_own_model_returns_labels_if_a_form_is_set(client: openai.OpenAI, form: Any) -> None:
    reply = client.chat.completions.create(
        model="fake", messages=asks("", plain(5)), response_format=form
    )
    (label,) = json.loads(reply.choices[0].message.content or "")["labels"]
    assert (label["name"], label["confidence"]) == ("rgb 5 0 0", 0.5)


def test_our_own_model_makes_a_response(client: openai.OpenAI) -> None:
    reply = client.responses.create(
        model="fake", instructions="Be brief.", input=inputs("what", plain(5)), temperature=0
    )
    assert reply.output_text == "rgb 5 0 0 what"
    assert reply.status == "completed"
    assert reply.id.startswith("resp_")
    assert reply.instructions == "Be brief."
    assert reply.error is None
    so_far: Any = [*inputs("what", plain(5)), *reply.output]
    again = client.responses.create(
        model="fake", input=[*so_far, {"role": "user", "content": "where"}]
    )
    assert again.output_text == "rgb 5 0 0 where"


def test_our_own_model_streams_a_response(client: openai.OpenAI) -> None:
    with client.responses.stream(model="fake", input=inputs("what", plain(5))) as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert [event.sequence_number for event in events] == list(range(len(events)))
    texts = [event.delta for event in events if isinstance(event, ResponseTextDeltaEvent)]
    assert "".join(texts) == final.output_text == "rgb 5 0 0 what"
    assert events[-1].type == "response.completed"


def test_a_response_has_the_form_that_is_asked_for(client: openai.OpenAI) -> None:
    reply = client.responses.create(
        model="fake",
        input=inputs("", plain(5)),
        text={"format": {"type": "json_schema", "name": "labels", "schema": LABELS_SCHEMA}},
    )
    assert json.loads(reply.output_text)["labels"][0]["name"] == "rgb 5 0 0"


def test_photoprisms_openai_engine_gets_what_it_reads(base: str) -> None:
    key = {"Authorization": "Bearer sesame"}

    def ask(**fields: Any) -> dict[str, Any]:
        body = openai_request("fake", [plain(5)], prompt="", **fields)
        reply = requests.post(f"{base}/v1/responses", json=body, headers=key, timeout=60)
        return read_openai_reply(reply.status_code, reply.json())

    (label,) = ask(schema=LABELS_SCHEMA)["labels"]
    assert (label["name"], label["confidence"]) == ("rgb 5 0 0", 0.5)
    assert ask()["caption"] == "rgb 5 0 0"


def test_models_are_listed(client: openai.OpenAI) -> None:
    owners = {model.id: model.owned_by for model in client.models.list()}
    assert owners["fake"] == "vision-workers"
    assert owners["llava:7b"] == "ollama"
    assert "blip" not in owners  # no worker
    assert client.models.retrieve("fake").object == "model"
    assert client.models.retrieve("LLaVA:7b").id == "llava:7b"
    with pytest.raises(openai.NotFoundError) as unknown:
        client.models.retrieve("llava:13b")
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.InternalServerError) as unserved:
        client.models.retrieve("unserved")
    assert unserved.value.status_code == 503


@pytest.mark.parametrize("path", ["models", "models/fake", "models/llava:7b"])
def test_a_slash_at_the_end_makes_no_difference(base: str, path: str) -> None:
    headers = {"Authorization": "Bearer sesame"}
    plain_path, with_slash = (
        requests.get(f"{base}/v1/{path}{end}", headers=headers, timeout=20) for end in ("", "/")
    )
    assert with_slash.status_code == 200
    assert with_slash.json() == plain_path.json()


def test_errors_are_those_of_openais_client(client: openai.OpenAI, base: str) -> None:
    create = client.chat.completions.create
    with pytest.raises(openai.NotFoundError, match="unheard-of/model") as missing:
        create(model="unheard-of/model", messages=asks("x", plain(5)))
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError, match="needs an image") as blind:
        create(model="fake", messages=asks("x"))
    assert blind.value.param == "messages"
    with pytest.raises(openai.BadRequestError, match="neither text nor an image") as nothing:
        create(model="fake", messages=asks(""))
    assert nothing.value.param == "messages"
    with pytest.raises(openai.BadRequestError, match="n: Input") as several:
        create(model="fake", messages=asks("x", plain(5)), n=2)
    assert several.value.param == "n"
    with pytest.raises(openai.UnprocessableEntityError) as damaged:
        create(model="fake", messages=asks("x", b"no image"))
    assert damaged.value.code == "invalid_image"
    with pytest.raises(openai.APIStatusError) as many:
        create(model="fake", messages=asks("x", *[plain(5)] * 17))
    assert many.value.status_code == 413
    with pytest.raises(openai.InternalServerError, match="No worker serves") as unserved:
        create(model="unserved", messages=asks("x", plain(5)))
    assert unserved.value.status_code == 503
    assert unserved.value.response.headers["Retry-After"]
    with (
        openai.OpenAI(base_url=f"{base}/v1", api_key="wrong") as stranger,
        pytest.raises(openai.AuthenticationError) as refused,
    ):
        stranger.models.list()
    assert refused.value.code == "invalid_api_key"


def test_what_is_refused_before_flask_sees_it_has_openais_form_too(
    stack_with_ollama: Stack,
) -> None:
    small = stack_with_ollama.api(VISION_MAX_BODY_MB="0.01")
    body = {"model": "fake", "messages": asks("x" * 20_000)}
    reply = requests.post(f"{small}/v1/chat/completions", json=body, timeout=20)
    assert reply.status_code == 413
    assert reply.json()["error"]["code"] == "request_too_large"


def test_a_full_queue_is_a_rate_limit(stack_with_ollama: Stack, client: openai.OpenAI) -> None:
    def ask() -> str | None:
        reply = client.chat.completions.create(model="narrow", messages=asks("", plain(5)))
        return reply.choices[0].message.content

    with (
        full_queue(stack_with_ollama, ask) as waiting,
        pytest.raises(openai.RateLimitError, match="1 request is waiting for narrow") as refused,
    ):
        ask()
    assert [answer.result() for answer in waiting] == ["rgb 5 0 0"] * 3
    assert refused.value.code == "rate_limit_exceeded"
    assert int(refused.value.response.headers["Retry-After"]) > 0
