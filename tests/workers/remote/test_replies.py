"""How replies of servers are read: lines, parts, and numbers, however odd they are."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.scripts import SCRIPTS
from workers.remote.client import gpu_share, load_seconds, tokens_per_s
from workers.remote.errors import MalformedReply, ServerError
from workers.remote.replies import join, number, parse, split_lines

TEXTS = ["a\u2028b", "a\u2029b", "a\x85b", "a\x1cb\x0bc\x0cd", "猫\u2028\u2029", *SCRIPTS.values()]


def lines(data: bytes, size: int) -> list[str]:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(data), size):
            yield data[start : start + size]

    async def read() -> list[str]:
        return [line async for line in split_lines(chunks())]

    return asyncio.run(read())


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10_000])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n", ""])
def test_lines_end_at_line_feeds_alone(size: int, end: str) -> None:
    parts = [{"response": text} for text in TEXTS]
    data = "\n".join(json.dumps(part, ensure_ascii=False) for part in parts) + end
    assert [parse(line) for line in lines(data.encode(), size)] == parts


def test_bytes_that_are_no_text_are_replaced() -> None:
    (line,) = lines(b'{"response": "a\xffb"}\n', 4)
    assert parse(line) == {"response": "a\ufffdb"}


@pytest.mark.parametrize(
    "text",
    [
        "<html>", "", "{", "[1]", '"text"', "null", '{"response": "a"', '{"response": 5}',
        '{"thinking": ["a"]}', '{"response": {"a": 1}}', '{"message": "a"}', '{"message": [1]}',
        '{"message": {"content": 5}}', '{"message": {"thinking": {}}}', "[" * 100_000,
    ],
    ids=lambda text: text[:24],
)  # fmt: skip
def test_what_is_no_part_of_a_reply_is_malformed(text: str) -> None:
    with pytest.raises(MalformedReply):
        parse(text)


@pytest.mark.parametrize(
    "text",
    ['{"error": null, "response": "a"}', '{"response": null, "done": true}', '{"message": null}'],
)
def test_null_means_absent(text: str) -> None:
    assert parse(text) == json.loads(text)


def test_an_error_in_a_stream_has_its_status() -> None:
    with pytest.raises(ServerError) as plain:
        parse('{"error": "no"}')
    with pytest.raises(ServerError) as with_status:
        parse('{"error": "no", "status": 400}')
    assert (plain.value.status, with_status.value.status) == (None, 400)


def test_probabilities_of_all_tokens_are_joined() -> None:
    tokens = [{"token": "a", "logprob": -0.1}, {"token": " cat", "logprob": -0.2}]
    parts: list[dict[str, Any]] = [{"response": x["token"], "logprobs": [x]} for x in tokens]
    last = {"response": "", "done": True}
    assert join([*parts, last]) == {"response": "a cat", "done": True, "logprobs": tokens}
    assert join([{"response": "a"}, {**last, "logprobs": None}])["logprobs"] is None


def test_parts_of_a_message_are_joined_also_where_types_change() -> None:
    parts: list[dict[str, Any]] = [
        {"message": {"role": "assistant", "content": "a", "tool_calls": [1]}},
        {"message": {"role": "assistant", "content": None, "tool_calls": [2]}},
        {"message": {"content": "b", "tool_calls": "x"}, "done": True},
    ]
    message = join(parts)["message"]
    assert (message["role"], message["content"], message["tool_calls"]) == ("assistant", "b", "x")
    assert join(parts[:1])["message"]["content"] == "a"


@pytest.mark.parametrize("value", ["5", None, [], {}, float("nan"), float("inf"), 10**400])
def test_numbers_that_are_none_count_as_0(value: Any) -> None:
    assert number(value) == 0
    assert tokens_per_s({"eval_count": value, "eval_duration": value}) is None
    assert load_seconds({"load_duration": value}) == 0
    assert gpu_share({"size": value, "size_vram": value}) is None
