"""OpenAI's own client library with models of Ollama."""

import json
from typing import Any, get_args

import openai
import pytest
from openai.types import ReasoningEffort
from openai.types.responses import ResponseCompletedEvent, ResponseTextDeltaEvent

from tests.conftest import plain
from tests.integration.openai_door.questions import asks, inputs
from tests.ollama_standin import OllamaStandin, Spec
from tests.stack import wait_for


def test_a_model_of_ollama_completes_a_chat_and_counts_its_tokens(
    client: openai.OpenAI, standin: OllamaStandin
) -> None:
    standin.models["llava:7b"].spec = Spec(thinks=True)
    reply = client.chat.completions.create(
        model="llava:7b",
        messages=[{"role": "developer", "content": "Be brief."}, *asks("what?", plain(8))],
        max_completion_tokens=50,
        temperature=0,
        seed=3,
        stop="!",
        presence_penalty=0.5,
        reasoning_effort="low",
        response_format={"type": "json_object"},
    )
    assert (reply.choices[0].message.content or "").startswith("{")
    assert reply.usage
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens
    sent = standin.generates()[-1].body or {}
    assert sent["options"] == {
        "num_predict": 50, "temperature": 0, "seed": 3, "stop": ["!"], "presence_penalty": 0.5,
    }  # fmt: skip
    assert (sent["format"], sent["think"]) == ("json", "low")
    roles = [(message["role"], message["content"]) for message in sent["messages"]]
    assert roles == [("system", "Be brief."), ("user", "what?")]
    assert len(standin.generates()[-1].images) == 1


def test_a_model_of_ollama_is_asked_for_any_object_by_an_empty_schema(
    client: openai.OpenAI, standin: OllamaStandin
) -> None:
    form: Any = {"format": {"type": "json_schema", "name": "any", "schema": {}}}
    reply = client.responses.create(model="llava:7b", input=inputs("what?", plain(8)), text=form)
    assert (standin.generates()[-1].body or {})["format"] == {"type": "object"}
    assert isinstance(json.loads(reply.output_text), dict)


def test_each_effort_that_openais_client_knows_is_put_in_ollamas_words(
    client: openai.OpenAI, standin: OllamaStandin
) -> None:
    standin.models["llava:7b"].spec = Spec(thinks=True)
    (literal, _) = get_args(ReasoningEffort)
    told = {}
    for effort in get_args(literal):
        client.responses.create(model="llava:7b", input="what?", reasoning={"effort": effort})
        client.chat.completions.create(
            model="llava:7b", messages=asks("what?"), reasoning_effort=effort
        )
        (by_response, by_completion) = [sent.body or {} for sent in standin.generates()[-2:]]
        assert by_response["think"] == by_completion["think"]
        told[effort] = by_response["think"]
    assert told == {
        "none": False, "minimal": False, "low": "low", "medium": "medium", "high": "high",
        "xhigh": "high", "max": "max",
    }  # fmt: skip


def test_a_model_of_ollama_streams_by_both_calls(client: openai.OpenAI) -> None:
    whole = client.responses.create(model="llava:7b", input=inputs("what?", plain(8)))
    assert whole.output_text.startswith("rgb 8 0 0")
    assert whole.usage
    assert whole.usage.total_tokens == whole.usage.input_tokens + whole.usage.output_tokens
    with client.responses.stream(model="llava:7b", input=inputs("what?", plain(8))) as stream:
        events = list(stream)
    texts = [event.delta for event in events if isinstance(event, ResponseTextDeltaEvent)]
    assert len(texts) > 1
    assert "".join(texts) == whole.output_text
    assert isinstance(events[-1], ResponseCompletedEvent)
    chunks = list(
        client.chat.completions.create(
            model="llava:7b",
            messages=asks("what?", plain(8)),
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    said = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert said == whole.output_text
    assert chunks[-1].usage
    assert chunks[-1].usage.completion_tokens == whole.usage.output_tokens


def test_a_stream_arrives_while_it_is_generated(
    client: openai.OpenAI, standin: OllamaStandin
) -> None:
    standin.knobs.hang_next, standin.knobs.hang_at = 1, "stream"
    stream = client.chat.completions.create(
        model="llava:7b", messages=asks("what?", plain(8)), stream=True
    )
    first = next(chunk for chunk in stream if chunk.choices[0].delta.content)
    assert (first.choices[0].delta.content or "").strip() == "rgb"
    before = standin.aborted
    stream.close()
    wait_for("the server to stop", lambda: standin.aborted > before)


def test_an_interrupted_stream_ends_with_the_error(
    client: openai.OpenAI, standin: OllamaStandin
) -> None:
    question = asks("what?", plain(8))
    standin.knobs.cut_next = 1
    with pytest.raises(openai.APIError, match="llava:7b"):
        list(client.chat.completions.create(model="llava:7b", messages=question, stream=True))
    standin.knobs.cut_next = 1
    with client.responses.stream(model="llava:7b", input=inputs("what?", plain(8))) as stream:
        last = list(stream)[-1]
    assert last.type == "response.failed"
    assert last.response.error
    assert "llava:7b" in last.response.error.message
