"""Every field of a request with every JSON type: no answer is 500, whatever the model."""

import contextlib
import http.client
import json
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.api.http.scripts import SCRIPTS
from tests.conftest import data_url, plain
from tests.ollama_standin import OllamaStandin
from tests.stack import API, Stack

IMAGE = data_url(plain(7)).partition(",")[2]
HOLE = "the value goes here"
SERVED = (200, 400, 403, 404, 413, 422)
UNSERVED = (502, 503)
"""A URL leads to a private address; the default model has no worker here."""


def nested(opening: str, closing: str, depth: int) -> str:
    return opening * depth + "1" + closing * depth


QUICK = {
    "fake": ("null", '"x"', nested('{"a":', "}", 300)),
    "llava:7b": ("1.5", "[null]"),
}
"""By the model that gets them; what a field is made of is mostly looked at before any model."""
MORE = (
    *("false", "0", "[]", '{"a":1}', r'"\ud800"', "1e400"),
    *("true", "-1", '""', "{}", "[0]", '[""]', '["x"]', "[[]]", "[{}]", '{"a":null}', '{"role":0}'),
    *("NaN", r'{"\ud83d":["\udc00"]}', r'"\u0000"', '"http://127.0.0.1:1/"', json.dumps(IMAGE)),
    *("9" * 30, "-" + "9" * 4000, "9" * 5000, json.dumps("x" * 100_000)),
    *(nested("[", "]", depth) for depth in (20, 200, 300, 900, 100_000)),
    *(nested('{"a":', "}", depth) for depth in (20, 200, 900)),
)
VISION = (
    *("id", "model", "version", "prompt", "url", "images", "options", "system", "format", "schema"),
    *("think", "suffix", "context", "stream", "unknown"),
)
OLLAMA = (
    *("model", "name", "prompt", "images", "options", "system", "format", "stream", "think", "raw"),
    *("context", "suffix", "keep_alive", "tools", "messages", "id", "unknown"),
)
OPTIONS = ("temperature", "top_k", "seed", "num_predict", "repeat_penalty", "stop", "num_ctx")
MESSAGE = ("role", "content", "images", "tool_calls", "thinking")
OPENAI = ("model", "stream", "temperature", "top_p", "frequency_penalty", "tools", "id", "unknown")
COMPLETIONS = (
    *("messages", "response_format", "max_completion_tokens", "max_tokens", "seed", "stop", "n"),
    *("reasoning_effort", "stream_options", "functions", "logprobs", "audio"),
)
RESPONSES = (
    *("input", "instructions", "text", "max_output_tokens", "reasoning", "previous_response_id"),
    *("conversation", "background", "prompt"),
)


def whole(**fields: Any) -> dict[str, Any]:
    return {"model": "fake", "prompt": "hi", "images": [IMAGE], "stream": False, **fields}


def chat(**fields: Any) -> dict[str, Any]:
    question = {"role": "user", "content": "hi", "images": [IMAGE], **fields}
    return {"model": "fake", "stream": False, "messages": [question]}


def completion(**fields: Any) -> dict[str, Any]:
    shown = {"type": "image_url", "image_url": {"url": IMAGE}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "hi"}, shown]}]
    return {"model": "fake", "messages": messages, **fields}


def response(**fields: Any) -> dict[str, Any]:
    shown = {"type": "input_image", "image_url": IMAGE}
    messages = [{"role": "user", "content": [{"type": "input_text", "text": "hi"}, shown]}]
    return {"model": "fake", "input": messages, **fields}


def part(**fields: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [fields]}]


CASES: list[tuple[str, Any]] = [
    *((f"{API}/caption", whole(**{name: HOLE})) for name in VISION),
    *((f"{API}/caption", whole(options={name: HOLE})) for name in OPTIONS),
    *(("/api/generate", whole(**{name: HOLE})) for name in OLLAMA),
    *(("/api/generate", whole(options={name: HOLE})) for name in OPTIONS),
    *(("/api/chat", {**chat(), name: HOLE}) for name in OLLAMA),
    *(("/api/chat", chat(**{name: HOLE})) for name in MESSAGE),
    *(("/api/show", {"model": "fake", name: HOLE}) for name in ("model", "name", "verbose")),
    *(("/v1/chat/completions", completion(**{name: HOLE})) for name in (*OPENAI, *COMPLETIONS)),
    ("/v1/chat/completions", completion(messages=[HOLE])),
    ("/v1/chat/completions", completion(messages=[{"role": HOLE, "content": IMAGE}])),
    ("/v1/chat/completions", completion(messages=[{"role": "user", "content": HOLE}])),
    ("/v1/chat/completions", completion(messages=part(type=HOLE))),
    ("/v1/chat/completions", completion(messages=part(type="text", text=HOLE))),
    ("/v1/chat/completions", completion(messages=part(type="image_url", image_url=HOLE))),
    ("/v1/chat/completions", completion(messages=part(type="image_url", image_url={"url": HOLE}))),
    *(
        ("/v1/chat/completions", completion(response_format={"type": "json_schema", **given}))
        for given in ({"json_schema": HOLE}, {"json_schema": {"schema": HOLE}}, {"type": HOLE})
    ),
    *(("/v1/responses", response(**{name: HOLE})) for name in (*OPENAI, *RESPONSES)),
    ("/v1/responses", response(input=[HOLE])),
    ("/v1/responses", response(input=[{"type": HOLE}])),
    ("/v1/responses", response(input=part(type="input_text", text=HOLE))),
    ("/v1/responses", response(input=part(type="input_image", image_url=HOLE))),
    ("/v1/responses", response(text={"format": HOLE})),
    ("/v1/responses", response(text={"format": {"type": "json_schema", "schema": HOLE}})),
    ("/v1/responses", response(reasoning={"effort": HOLE})),
    *((path, HOLE) for path in (API, "/api/generate", "/api/chat", "/api/show")),
    *((path, HOLE) for path in ("/v1/chat/completions", "/v1/responses")),
    *((path, {"model": HOLE}) for path in ("/api/pull", "/api/create", f"{API}/models/fake/x")),
]
"""Paths and bodies; what stands at ``HOLE`` is replaced by each value."""


@pytest.fixture(scope="module")
def base(stack_with_ollama: Stack) -> str:
    return stack_with_ollama.api(VISION_TIMEOUT="10")


def error_in(reply: bytes) -> str:
    """Return the message of an error; a streamed reply has it in its last line, or last event."""
    if reply.startswith((b"data: ", b"event: ")):
        is_failed = b'data: {"error"' in reply or b"event: response.failed" in reply
        return "failed" if is_failed else ""
    *_, last = reply.splitlines()
    error = json.loads(last).get("error") or ""
    return str(error["message"] if isinstance(error, dict) else error)


def sweep(base: str, model: str, values: Sequence[str]) -> "Counter[int]":
    """Send each case with each value; returns how often each status was answered."""
    local, found, wrong = threading.local(), Counter[int](), list[str]()
    connections = contextlib.ExitStack()

    def send(path: str, template: Any, value: str) -> None:
        body = json.dumps(template).replace(json.dumps(HOLE), value)
        body = body.replace('"model": "fake"', f'"model": "{model}"')
        if not hasattr(local, "connection"):
            local.connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=30)
            connections.callback(local.connection.close)
        local.connection.request("POST", path, body, {"Content-Type": "application/json"})
        reply = local.connection.getresponse()
        found[reply.status] += 1
        error = error_in(reply.read())
        is_expected = reply.status in (*SERVED, *UNSERVED) and (reply.status != 200 or not error)
        if not is_expected or "\n" in error:
            wrong.append(f"{path} {str(template)[:200]} {value[:50]}: {reply.status} {error}")

    with connections, ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(send, *case, value) for case in CASES for value in values]
    assert [job.exception() for job in jobs if job.exception()] == []
    assert not wrong, "\n".join(wrong)
    return found


@pytest.mark.parametrize("model", QUICK)
def test_no_value_of_any_field_is_a_500(base: str, model: str) -> None:
    found = sweep(base, model, QUICK[model])
    assert min(found[200], found[400]) > 30
    assert sum(found[status] for status in UNSERVED) < 20


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(QUICK)), ids=[*QUICK])
def test_no_odd_value_of_any_field_is_a_500(base: str, number: int) -> None:
    """The models take turns with the values."""
    assert sweep(base, [*QUICK][number], MORE[number :: len(QUICK)])[200] > 100


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_prompt_in_any_script_arrives_as_it_was_sent(
    base: str, standin: OllamaStandin, script: str
) -> None:
    prompt = SCRIPTS[script]
    body = {"prompt": prompt, "images": [IMAGE], "stream": False}
    for path in ("/api/generate", f"{API}/caption"):
        reply = requests.post(f"{base}{path}", json={**body, "model": "fake"}, timeout=20).json()
        text = reply.get("response") or reply["result"]["caption"]["text"]
        assert text == f"rgb 7 0 0 {prompt}"
        requests.post(f"{base}{path}", json={**body, "model": "llava:7b"}, timeout=20)
        assert (standin.generates()[-1].body or {})["prompt"] == prompt
