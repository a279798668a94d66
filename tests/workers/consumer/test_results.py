"""A task ends whatever happens while its result is stored."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from celery.concurrency.thread import TaskPool

from shared.messages import Job, JsonObject
from tests.redis_faults import full, read_only, without_replicas
from tests.stack import Stack, running_stack
from workers.consumer import results
from workers.consumer.results import EndingPool, push_end
from workers.consumer.stopping import Stopping


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A Redis of our own, which is made to refuse."""
    with running_stack(tmp_path_factory.mktemp("results")) as running:
        yield running


def job(seconds: float) -> Job:
    """A job whose deadline is in some seconds."""
    return Job(request_id="r", tasks=("caption",), deadline=time.time() + seconds)


def run(pool: Any) -> list[Any]:
    """Run a target that raises; return what the callback of its end was told."""
    told: list[Any] = []
    pool.start()
    pool.on_apply(fail, (), {}, callback=told.append, accept_callback=lambda *_: None).wait()
    pool.stop()
    return told


def fail() -> None:
    raise OSError("outside of the body")


def test_celerys_own_pool_never_tells_that_a_task_is_over_whose_thread_raised() -> None:
    # When this fails, Celery has been mended: remove EndingPool.
    assert run(TaskPool(limit=1)) == []


def test_our_pool_tells_it_as_the_failure_of_the_task() -> None:
    ((failed, info, _),) = run(EndingPool(limit=1))
    assert failed
    assert isinstance(info.exception.exc, OSError)  # as Celery keeps it


@pytest.mark.parametrize("fault", [full, read_only, without_replicas])
def test_a_reply_is_sent_as_soon_as_redis_takes_it(stack: Stack, fault: Any) -> None:
    end: JsonObject = {"outcome": {}}
    replying = threading.Thread(
        target=push_end, args=(stack.store, "task", job(30), end, Stopping())
    )
    with fault(stack):
        replying.start()
        replying.join(0.5)
        assert replying.is_alive()
    replying.join(10)
    assert stack.store.replies.pop("task", 1) == end


def test_a_reply_that_nobody_waits_for_any_more_is_given_up_without_an_error(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "GIVE_UP_S", 0.0)
    started = time.monotonic()
    with full(stack):
        push_end(stack.store, "late", job(0.5), {"outcome": {}}, Stopping())
    assert 0.5 <= time.monotonic() - started < 5
    assert stack.store.replies.pop("late", 0.1) is None


def test_the_images_of_a_job_are_deleted_with_its_reply(stack: Stack) -> None:
    stack.redis.set("image", b"x")
    with_image = job(30).model_copy(update={"images": ("image",)})
    push_end(stack.store, "another", with_image, {"outcome": {}}, Stopping())
    assert not stack.redis.exists("image")
