"""Requests with much text: messages stay small, and what waits for them moves little."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from shared.redis.inputs import MOST_IN_MESSAGE
from shared.units import MEGA
from tests.integration.client import posting
from tests.stack import API, Stack, running_stack, wait_for

PROMPT = "word " * 600_000
WAITING = 4
WATCHED_S = 2.5
"""Each waiting request looks for its task at least twice."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A Redis of our own, whose traffic is counted."""
    nowhere = "http://127.0.0.1:1"
    with running_stack(tmp_path_factory.mktemp("large"), OLLAMA_HOST=nowhere) as running:
        yield running


def sent_bytes(stack: Stack) -> int:
    return int(dict(stack.redis.info("stats"))["total_net_output_bytes"])


def test_a_large_prompt_lies_beside_its_message_and_waiters_do_not_fetch_it(stack: Stack) -> None:
    base, queue = stack.api(), stack.catalog.get("described").queue
    stack.redis.set("vision:seen:ollama", 1, ex=60)  # so that requests wait for a worker
    with ExitStack() as clients:
        for _ in range(WAITING):
            clients.enter_context(posting(f"{base}{API}/caption/described", prompt=PROMPT))
        wait_for("the queue", lambda: stack.redis.llen(queue) == WAITING)
        before = sent_bytes(stack)
        time.sleep(WATCHED_S)  # what is measured is a rate
        assert sent_bytes(stack) - before < MEGA
        messages = stack.redis.lrange(queue, 0, -1)
        assert max(map(len, messages)) < 2 * MOST_IN_MESSAGE
        (_, kwargs, _) = json.loads(json.loads(messages[0])["body"])
        stored = bytes(stack.redis.get(kwargs["job"]["stored_as"]) or b"")  # type: ignore[arg-type]
        assert PROMPT.encode() in stored
        stack.redis.delete(queue, "vision:seen:ollama")  # lost, and nobody to send them to
    assert not stack.redis.keys("vision:job:*")
