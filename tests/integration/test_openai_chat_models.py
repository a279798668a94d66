"""A chat model of our own behind OpenAI's API: prompts, conversations, forms and PhotoPrism."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jsonschema
import openai
import pytest
import requests

from tests.conftest import data_url, png
from tests.integration.test_chat_models import BLUE_SQUARE, FORM, MODEL, RED_CIRCLE
from tests.photoprism_clients import LABELS_SCHEMA, openai_request, read_openai_reply
from tests.stack import Stack
from tools.tiny_checkpoints import lessons
from tools.tiny_checkpoints.shapes import Picture


@pytest.fixture(scope="module")
def base(stack: Stack, api: str) -> str:
    stack.worker(MODEL)
    return api


@pytest.fixture(scope="module")
def client(base: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{base}/v1", api_key="none", max_retries=0) as ready:
        yield ready


def user(text: str, *pictures: Picture) -> dict[str, Any]:
    shown = [
        {"type": "image_url", "image_url": {"url": data_url(png(picture.image))}}
        for picture in pictures
    ]
    return {"role": "user", "content": [{"type": "text", "text": text}, *shown]}


def said(client: openai.OpenAI, *messages: Any, **fields: Any) -> str:
    reply = client.chat.completions.create(model=MODEL, messages=messages, **fields)
    return str(reply.choices[0].message.content)


def test_whatever_is_asked_is_answered(client: openai.OpenAI) -> None:
    assert said(client, user(lessons.COLOUR, BLUE_SQUARE)) == "blue"
    assert said(client, user(lessons.SHAPE, BLUE_SQUARE)) == "square"
    alone = client.responses.create(model=MODEL, input=lessons.NOBODY)
    assert alone.output_text == "I am a tiny model that knows shapes."


@pytest.mark.parametrize("role", ["system", "developer"])
def test_what_is_told_beforehand_is_followed(client: openai.OpenAI, role: str) -> None:
    told = {"role": role, "content": lessons.CAPITALS}
    assert said(client, told, user(lessons.SHAPE, BLUE_SQUARE)) == "SQUARE"


def test_instructions_are_followed(client: openai.OpenAI) -> None:
    shown: Any = {"type": "input_image", "image_url": data_url(png(BLUE_SQUARE.image))}
    asked: Any = {"role": "user", "content": [shown, {"type": "input_text", "text": lessons.SHAPE}]}
    reply = client.responses.create(model=MODEL, instructions=lessons.CAPITALS, input=[asked])
    assert reply.output_text == "SQUARE"


def test_a_chat_goes_on_about_the_image_of_an_earlier_message(client: openai.OpenAI) -> None:
    before = user(lessons.COLOUR, BLUE_SQUARE), {"role": "assistant", "content": "blue"}
    assert said(client, *before, {"role": "user", "content": lessons.SHAPE}) == "square"


def test_stop_words_and_limits_end_an_answer(client: openai.OpenAI) -> None:
    asked = user(lessons.JOURNALISTIC, RED_CIRCLE)
    text = said(client, asked, stop=" Witnesses", temperature=0)
    assert text == "A red circle has appeared on grey ground."
    assert text.startswith(said(client, asked, max_completion_tokens=3).rstrip("."))


def test_samples_with_a_seed_are_repeatable(client: openai.OpenAI) -> None:
    asked = user(lessons.JOURNALISTIC, RED_CIRCLE)
    first, second = (said(client, asked, temperature=2, top_p=1, seed=7) for _ in range(2))
    assert first == second


def test_answers_have_the_form_that_is_asked_for_beside_free_ones(client: openai.OpenAI) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "form", "schema": FORM}}

    def ask(number: int) -> None:
        limit = 28 + number
        if number % 3 == 0:
            assert said(client, user(lessons.SHAPE, BLUE_SQUARE)) == "square"
        elif number % 3 == 1:
            fields: dict[str, Any] = {"response_format": schema, "max_tokens": limit}
            answer = said(client, user(lessons.COLOUR, RED_CIRCLE), **fields)
            jsonschema.validate(json.loads(answer), FORM)
        else:
            fields = {"response_format": {"type": "json_object"}, "max_tokens": limit}
            assert isinstance(json.loads(said(client, user("?", RED_CIRCLE), **fields)), dict)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(18)))


def test_an_empty_schema_asks_for_json(client: openai.OpenAI) -> None:
    form: Any = {"name": "any", "schema": {}}
    completion: Any = {"type": "json_schema", "json_schema": form}
    said_so = said(client, user(lessons.SHAPE, BLUE_SQUARE), response_format=completion)
    text: Any = {"format": {"type": "json_schema", **form}}
    response = client.responses.create(model=MODEL, input=lessons.NOBODY, text=text)
    assert isinstance(json.loads(said_so), dict)
    assert isinstance(json.loads(response.output_text), dict)


@pytest.mark.parametrize(
    ("form", "text", "limit", "field", "words"),
    [
        ({"not": {}}, "?", "max_tokens", "form", "The JSON schema cannot be used"),
        ({"$ref": "https://example.com"}, "?", "max_tokens", "form", "refers to another document"),
        (FORM, "?", "max_tokens", "limit", "the limit of tokens is 2"),
        (FORM, "?", "max_completion_tokens", "limit", "the limit of tokens is 2"),
        (None, "z" * 9000, "max_tokens", "question", "the model has room for"),
        (None, "z" * 40_000, "max_tokens", "question", "The conversation has 40000 characters"),
    ],
)
def test_an_error_names_the_field_that_is_at_fault_as_the_call_has_it(
    client: openai.OpenAI, form: Any, text: str, limit: str, field: str, words: str
) -> None:
    completion: Any = {limit: 2}
    response: Any = {"max_output_tokens": 2}
    if form:
        schema = {"name": "x", "schema": form}
        completion["response_format"] = {"type": "json_schema", "json_schema": schema}
        response["text"] = {"format": {"type": "json_schema", **schema}}
    with pytest.raises(openai.BadRequestError, match=words) as of_completion:
        said(client, user(text), **completion)
    with pytest.raises(openai.BadRequestError, match=words) as of_response:
        client.responses.create(model=MODEL, input=text, **response)
    names = {
        "form": ("response_format", "text.format"),
        "limit": (limit, "max_output_tokens"),
        "question": ("messages", "input"),
    }
    assert (of_completion.value.param, of_response.value.param) == names[field]


def test_photoprisms_engine_gets_captions_and_labels(base: str) -> None:
    def ask(**fields: Any) -> dict[str, Any]:
        body = openai_request(MODEL, [png(BLUE_SQUARE.image)], **fields)
        reply = requests.post(f"{base}/v1/responses", json=body, timeout=60)
        return read_openai_reply(reply.status_code, reply.json())

    assert ask(prompt=lessons.SHAPE)["caption"] == "square"
    assert ask(prompt=lessons.SHAPE, system=lessons.CAPITALS)["caption"] == "SQUARE"
    labels = ask(prompt="Name what you see.", schema=LABELS_SCHEMA)
    jsonschema.validate(labels, LABELS_SCHEMA)
