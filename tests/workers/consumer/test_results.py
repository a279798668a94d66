"""A task ends whatever happens while its result is stored."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from celery.concurrency.thread import TaskPool

from shared.celery_app import make_celery
from shared.settings import Settings
from tests.redis_faults import full, read_only, without_replicas
from tests.stack import Stack, running_stack
from workers.consumer.results import EndingPool, PatientBackend, have_tasks_end

# Celery calls a method that redis-py calls deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.*setex:DeprecationWarning")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A Redis of our own, which is made to refuse."""
    with running_stack(tmp_path_factory.mktemp("results")) as running:
        yield running


@pytest.fixture
def backend(stack: Stack) -> Any:
    app = make_celery(Settings(redis_url=stack.redis_url), worker=True)
    have_tasks_end(app)
    assert isinstance(app.backend, PatientBackend)
    return app.backend


def message(seconds: float) -> Any:
    """A request that expires in some seconds."""
    return SimpleNamespace(
        expires=(datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(),
        chord=None, group=None, errbacks=None, parent_id=None,
    )  # fmt: skip


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
def test_a_result_is_stored_as_soon_as_redis_takes_it(
    stack: Stack, backend: Any, fault: Any
) -> None:
    storing = threading.Thread(
        target=backend.store_result, args=("task", {"a": 1}, "SUCCESS", None, message(30))
    )
    stack.redis.delete("celery-task-meta-task")
    with fault(stack):
        storing.start()
        storing.join(0.5)
        assert storing.is_alive()
    storing.join(10)
    assert backend.get_task_meta("task", cache=False)["result"] == {"a": 1}


@pytest.mark.parametrize("state", ["SUCCESS", "FAILURE"])
def test_a_result_that_nobody_waits_for_any_more_is_given_up_without_an_error(
    stack: Stack, backend: Any, state: str
) -> None:
    result: Any = {"a": 1} if state == "SUCCESS" else ValueError("a")
    started = time.monotonic()
    with full(stack):
        backend.store_result("late", result, state, None, message(0.5))
    assert 0.5 <= time.monotonic() - started < 5
    assert not stack.redis.exists("celery-task-meta-late")
