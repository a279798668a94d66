"""Calls to Redis end in time and in one error, through whichever library they go."""

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from kombu.transport.redis import Channel

from api.commands import REPLY_S, CommandSender
from api.redis_retry import redis_call, retry_while_unreachable
from launcher.ports import LOOPBACK, free_port
from shared.celery_app import make_celery
from shared.errors import BrokerUnavailable, VisionError
from shared.redis import deadline
from shared.redis.connection import connect
from shared.redis.publishing import Publisher, Task
from shared.redis.replies import Replies
from shared.settings import Settings
from shared.vocabulary import OperatorCommand
from tests.stack import UP_S, running_stack
from tests.stalling_proxy import StallingProxy

SECONDS = 0.2
SPARE_S = 4
"""For a busy machine; the libraries' own time-outs are longer."""
CALLS: dict[str, Callable[[Any, str], Any]] = {
    "redis-py": lambda _, url: connect(url).ping(),
    "redis-py-large": lambda _, url: connect(url).set("key", b"x" * 30_000_000),
    "publish": lambda app, url: Publisher(app, connect(url)).send(
        Task("id", "task", "{}", "{}"), "queue", {}, {}, 60
    ),
    "reply": lambda _, url: Replies(connect(url)).pop("id", 10),
    "command": lambda app, _: CommandSender(app).send(OperatorCommand.RECYCLE, ["worker"]),
}


def make_call(name: str, url: str) -> None:
    """Make one of the calls, by an application of its own whose connections are closed then."""
    app: Any = make_celery(Settings(redis_url=url), worker=False)
    try:
        CALLS[name](app, url)
    finally:
        app.close()


@pytest.fixture(autouse=True)
def _deadlines() -> None:
    deadline.install()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port whose server accepts and never answers; the kernel accepts for it."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        yield int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis of our own, on which nothing else works."""
    with running_stack(tmp_path_factory.mktemp("redis")) as stack:
        yield stack.redis_url


@pytest.mark.parametrize("scheme", ["redis://{}:{}/0", "rediss://{}:{}/0?ssl_cert_reqs=none"])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*CERT_NONE")
def test_a_redis_that_never_answers_is_waited_for_no_longer_than_said(
    silent_port: int, call: str, scheme: str
) -> None:
    started = time.monotonic()
    with pytest.raises(BrokerUnavailable, match="Redis does not answer"), redis_call(SECONDS):
        make_call(call, scheme.format(LOOPBACK, silent_port))
    assert SECONDS <= time.monotonic() - started < SECONDS + SPARE_S


@pytest.mark.parametrize("call", CALLS)
def test_a_redis_that_does_not_run_cannot_be_reached(call: str) -> None:
    with pytest.raises(BrokerUnavailable, match="Redis cannot be reached"), redis_call(UP_S):
        make_call(call, f"redis://{LOOPBACK}:{free_port()}/0")


def test_an_accident_inside_a_library_is_a_fault_of_redis_and_one_of_ours_is_none() -> None:
    closed: Any = SimpleNamespace(connection=SimpleNamespace(client=None))
    with pytest.raises(BrokerUnavailable), redis_call(SECONDS):
        vars(Channel)["_get_pool"](closed)
    with pytest.raises(AttributeError), redis_call(SECONDS):
        _ = closed.nothing


def test_errors_for_the_client_pass_as_they_are() -> None:
    with pytest.raises(VisionError, match="mine") as raised, redis_call(SECONDS):
        raise VisionError("mine")
    assert type(raised.value) is VisionError


def test_a_redis_that_comes_back_before_the_deadline_is_waited_for(silent_port: int) -> None:
    tries: list[float] = []

    def call() -> str:
        tries.append(time.monotonic())
        if len(tries) < 3:
            connect(f"redis://{LOOPBACK}:{free_port()}/0").ping()
        return "served"

    assert retry_while_unreachable(call, time.time() + 60) == "served"
    with pytest.raises(BrokerUnavailable):
        retry_while_unreachable(
            connect(f"redis://{LOOPBACK}:{silent_port}/0").ping, time.time() + SECONDS
        )


@pytest.mark.parametrize(
    ("call", "step"),
    [
        *(("command", step) for step in (b"PING", b"PUBLISH", b"SMEMBERS", b"BRPOP", b"LLEN")),
        ("publish", b"LPUSH"),
        ("reply", b"BLPOP"),
    ],
)
def test_a_call_ends_in_time_at_whatever_step_redis_falls_silent(
    redis_url: str, call: str, step: bytes
) -> None:
    proxy = StallingProxy(urlsplit(redis_url).port or 0, step)
    proxy.stall()
    started = time.monotonic()
    with contextlib.suppress(BrokerUnavailable), redis_call(SECONDS):
        make_call(call, f"redis://{LOOPBACK}:{proxy.port}/0")
    assert time.monotonic() - started < (REPLY_S if call == "command" else SECONDS) + SPARE_S
    proxy.close()
