"""Calls to Redis end in time and in one error, through whichever library they go."""

import socket
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from kombu.transport.redis import Channel

from api.commands import CommandSender
from api.redis_retry import redis_call, retry_while_unreachable
from launcher.ports import LOOPBACK, free_port
from shared.celery_app import make_celery
from shared.errors import BrokerUnavailable, VisionError
from shared.redis import deadline
from shared.redis.connection import connect
from shared.settings import Settings
from shared.vocabulary import OperatorCommand

SECONDS = 0.4
CALLS: dict[str, Callable[[str], Any]] = {
    "redis-py": lambda url: connect(url).ping(),
    "redis-py-large": lambda url: connect(url).set("key", b"x" * 30_000_000),
    "publish": lambda url: _celery(url).send_task("task", queue="queue"),
    "result": lambda url: _celery(url).AsyncResult("id").get(timeout=5),
    "forget": lambda url: _celery(url).AsyncResult("id").forget(),
    "command": lambda url: CommandSender(_celery(url)).send(OperatorCommand.RECYCLE, ["worker"]),
}


def _celery(url: str) -> Any:
    return make_celery(Settings(redis_url=url), worker=False)


@pytest.fixture(autouse=True)
def _deadlines() -> None:
    deadline.install()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port whose server accepts and never answers; the kernel accepts for it."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        yield int(listener.getsockname()[1])


@pytest.mark.parametrize("scheme", ["redis://{}:{}/0", "rediss://{}:{}/0?ssl_cert_reqs=none"])
@pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*CERT_NONE")
def test_a_redis_that_never_answers_is_waited_for_no_longer_than_said(
    silent_port: int, call: Callable[[str], Any], scheme: str
) -> None:
    started = time.monotonic()
    with pytest.raises(BrokerUnavailable, match="Redis does not answer"), redis_call(SECONDS):
        call(scheme.format(LOOPBACK, silent_port))
    assert SECONDS <= time.monotonic() - started < SECONDS + 1


@pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))
def test_a_redis_that_does_not_run_cannot_be_reached(call: Callable[[str], Any]) -> None:
    with pytest.raises(BrokerUnavailable, match="Redis cannot be reached"), redis_call(SECONDS):
        call(f"redis://{LOOPBACK}:{free_port()}/0")


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

    assert retry_while_unreachable(call, time.time() + 5) == "served"
    with pytest.raises(BrokerUnavailable):
        retry_while_unreachable(
            connect(f"redis://{LOOPBACK}:{silent_port}/0").ping, time.time() + SECONDS
        )
