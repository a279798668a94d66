"""What the stack knows of kombu's and Celery's insides, against a real Redis and a real worker."""

import json
import signal
import sys
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from celery import Celery
from kombu import pools
from kombu.transport.virtual import Message

from shared.celery_app import make_celery
from shared.redis.publishing import Publisher, Task
from shared.settings import Settings
from tests.canaries.worker import NEWS, QUEUE, WORDS
from tests.stack import Stack, end, running_stack, wait_for

NAME = "canary@here"
STAMP = "enq"


class Worker:
    """A running worker, what it tells, and what one tells it."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.app = app_of(stack)
        self.process = stack.processes.start(
            "canary", [sys.executable, "-m", "tests.canaries.worker", NAME]
        )

    def news(self, what: str) -> dict[str, Any]:
        """The next news, which must be of this kind."""
        told: Any = wait_for(f"news of {what}", lambda: self.stack.redis.lpop(NEWS))
        news = dict(json.loads(told))
        assert what in news, news
        return news

    def say(self, word: str) -> None:
        self.stack.redis.rpush(WORDS, word)

    def command(self, change: Callable[..., Any]) -> None:
        """Have it begin or end consuming, and wait until it has; a lost command is given again."""
        told = partial(change, QUEUE, destination=[NAME], reply=True, timeout=1)
        wait_for("the worker's word", told)


def app_of(stack: Stack) -> Celery:
    return make_celery(Settings(redis_url=stack.redis_url), worker=False)


def send(app: Celery, stamp: float = 0) -> str:
    task_id = str(uuid.uuid4())
    app.send_task("hold", task_id=task_id, queue=QUEUE, headers={STAMP: stamp}, expires=60)
    return task_id


def queued(stack: Stack) -> list[dict[str, Any]]:
    """The messages on the queue, as Redis has them: the newest first."""
    found: Any = stack.redis.lrange(QUEUE, 0, -1)
    return [json.loads(message) for message in found]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A Redis of our own: the worker is killed, and what it held stays there."""
    with running_stack(tmp_path_factory.mktemp("canary")) as running:
        yield running


@pytest.fixture
def clean(stack: Stack) -> Stack:
    stack.redis.flushdb()
    return stack


@pytest.fixture
def worker(clean: Stack) -> Iterator[Worker]:
    started = Worker(clean)
    yield started
    end(started.process, signal.SIGKILL)


def test_the_queue_is_a_list_with_the_oldest_at_its_end_and_headers_in_the_open(
    clean: Stack,
) -> None:
    """As the question for a task's place reads it: LLEN, LINDEX -1, `headers`."""
    app = app_of(clean)
    ids = [send(app, stamp) for stamp in (1.5, 2.5)]
    newest, oldest = queued(clean)
    assert [message["headers"]["id"] for message in (oldest, newest)] == ids
    assert [message["headers"][STAMP] for message in (oldest, newest)] == [1.5, 2.5]


def test_our_message_is_what_celery_would_send(clean: Stack) -> None:
    app, task_id, kwargs = app_of(clean), str(uuid.uuid4()), {"job": {"text": 'ä"😀', "number": 1}}
    app.send_task(
        "hold", kwargs=kwargs, task_id=task_id, queue=QUEUE, headers={STAMP: 1.5},
        argsrepr="()", kwargsrepr="{}", ignore_result=True,
    )  # fmt: skip
    task = Task(task_id, "hold", json.dumps(kwargs), "{}")
    publisher = Publisher(app, clean.product_redis)
    publisher.send(task, QUEUE, {STAMP: 1.5}, {"beside": b"image"}, 60)
    assert clean.redis.get("beside") == b"image"
    ours, celerys = (Message(payload, app_channel(app)) for payload in queued(clean))
    assert ours.payload == celerys.payload
    assert ours.headers == celerys.headers
    assert ours.delivery_info == celerys.delivery_info
    for name in ("correlation_id", "priority"):
        assert ours.properties[name] == celerys.properties[name]


def app_channel(app: Celery) -> Any:
    """What decodes the bodies of an application's messages."""
    connection: Any = app.connection_for_read()
    return connection.default_channel


def test_a_held_message_is_the_workers_alone(worker: Worker) -> None:
    """Only a lease says who holds it, and what a killed worker held is lost."""
    assert worker.news("ready") == {"ready": False, "same_app": True}
    task_id = send(worker.app, 1.5)
    worker.command(worker.app.control.add_consumer)
    assert worker.news("received") == {"received": task_id, "consumes": True}
    assert worker.news("running")["reserved"] == [task_id]
    assert not [key for key in worker.stack.redis.scan_iter("*") if b"unacked" in key]


def test_a_held_message_is_not_put_back_when_the_connection_is_lost(worker: Worker) -> None:
    """The worker goes on with it, so nobody else may get it."""
    worker.news("ready")
    worker.command(worker.app.control.add_consumer)
    send(worker.app)
    worker.news("received")
    worker.news("running")
    worker.stack.redis.client_kill_filter(_type="normal", skipme=True)
    worker.stack.redis.client_kill_filter(_type="pubsub")
    worker.stack.redis.connection_pool.disconnect()  # our own were closed, too
    pools.reset()
    after = send(app_of(worker.stack))
    worker.say("done")
    assert worker.news("received")["received"] == after
    assert queued(worker.stack) == []


def test_a_message_that_is_handed_back_stands_behind_those_that_wait(worker: Worker) -> None:
    """So its lease is replaced by the time of its return, which is what its age then is."""
    worker.news("ready")
    worker.command(worker.app.control.add_consumer)
    first = send(worker.app, 1.5)
    assert worker.news("received")["received"] == first
    worker.news("running")
    worker.command(worker.app.control.cancel_consumer)
    others = [send(worker.app, stamp) for stamp in (2.5, 3.5)]
    worker.say("reject")
    wait_for("the first", lambda: len(queued(worker.stack)) == 3)
    ids = [message["headers"]["id"] for message in reversed(queued(worker.stack))]
    assert ids == [*others, first]
    # The header is the old one: only the lease tells when the message came back.
    assert queued(worker.stack)[0]["headers"][STAMP] == 1.5
