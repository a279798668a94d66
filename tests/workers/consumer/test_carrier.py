"""Jobs on their way through a worker: each one ends, whatever Redis does meanwhile."""

import json
import queue
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, cast

import pytest

from shared.errors import ModelFailed, ModelUnavailable
from shared.messages import Job, JsonObject, OllamaInstructions, Outcome
from shared.redis import deadline
from shared.redis.inputs import MOST_IN_MESSAGE, store_inputs
from shared.redis.presence import EngineStatus
from shared.vocabulary import WorkerState
from tests.redis_faults import full, read_only, silent, without_replicas
from tests.stack import Stack, running_stack
from workers.consumer import replying
from workers.consumer.carrier import Carrier
from workers.consumer.fetching import UNREADABLE
from workers.consumer.replying import HOST
from workers.consumer.stopping import Stopping
from workers.engine.interface import Engine
from workers.engine.job import Dropped, EngineJob, Requeued


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A Redis of our own, which is made to refuse."""
    with running_stack(tmp_path_factory.mktemp("carrier")) as running:
        yield running


class Message:
    """A message, whose end is noted as Celery would be told of it."""

    def __init__(
        self, task_id: str = "task", seconds: float = 30.0, images: tuple[str, ...] = ()
    ) -> None:
        self.task_id, self.told = task_id, queue.SimpleQueue[tuple[str, object]]()
        self.accepted = 0
        self._job: Job | None = Job(
            request_id="r", tasks=("caption",), deadline=time.time() + seconds, images=images
        )

    def without_job(self) -> "Message":
        self._job = None
        return self

    def with_large_job(self, stack: Stack, **changes: Any) -> "Message":
        """Have the job lie in Redis, beside a message with a part of it."""
        large = self.job().model_copy(update={"prompt": "?" * MOST_IN_MESSAGE, **changes})
        text, inputs = store_inputs(self.task_id, large, [])
        for key, value in inputs.items():
            stack.redis.set(key, value)
        self._job = Job.model_validate_json(text)
        return self

    def job(self) -> Job:
        if self._job is None:
            raise ValueError("no job")
        return self._job

    def accept(self) -> None:
        self.accepted += 1

    def succeed(self, answer: JsonObject) -> None:
        self.told.put(("succeed", answer))

    def fail(self, error: Exception) -> None:
        self.told.put(("fail", type(error)))

    def drop(self) -> None:
        self.told.put(("drop", None))

    def put_back(self, why: str) -> None:
        self.told.put(("put back", why))

    def end(self, timeout_s: float = 20.0) -> tuple[str, object]:
        return self.told.get(timeout=timeout_s)


class Ends:
    """An engine whose jobs all end in the same way, at once or when they are told to."""

    def __init__(self, end: Outcome | Exception, *, is_up: bool = True) -> None:
        self._end = end
        self.status = EngineStatus(state=WorkerState.READY if is_up else WorkerState.FAILED)
        self.jobs: queue.SimpleQueue[EngineJob] = queue.SimpleQueue()
        self.now = threading.Event()
        self.now.set()

    def submit(self, job: EngineJob) -> "Future[Outcome]":
        self.jobs.put(job)
        if self.now.is_set():
            self.end(job)
        return job.future

    def end(self, job: EngineJob) -> None:
        if isinstance(self._end, Exception):
            job.future.set_exception(self._end)
        else:
            job.future.set_result(self._end)


@contextmanager
def carrying(
    stack: Stack, engine: Ends, *, others: bool = False, stopping: Stopping | None = None
) -> Iterator[Carrier]:
    carrier = Carrier(
        stack.store, cast("Engine", engine), lambda: others, set(), stopping or Stopping()
    )
    carrier.start()
    try:
        yield carrier
    finally:
        engine.now.set()
        carrier.close()


def reply(stack: Stack, task_id: str = "task") -> Any:
    return stack.store.replies.pop(task_id, 5)


def test_a_job_is_answered_and_its_images_are_deleted(stack: Stack) -> None:
    stack.redis.set("image", b"x")
    message, engine = Message(images=("image",)), Ends(Outcome())
    with carrying(stack, engine) as carrier:
        carrier.take(message)
        assert message.end() == ("succeed", {})
    assert engine.jobs.get().images == [b"x"]
    assert reply(stack)["outcome"] == {}
    assert not stack.redis.exists("image")
    assert message.accepted == 1


def test_jobs_that_end_together_are_each_told_their_own_end(stack: Stack) -> None:
    messages = [Message(f"task-{number}") for number in range(40)]
    engine = Ends(Outcome())
    engine.now.clear()
    with carrying(stack, engine) as carrier:
        for message in messages:
            carrier.take(message)
        for job in [engine.jobs.get(timeout=20) for _ in messages]:
            engine.end(job)
        assert [message.end() for message in messages] == [("succeed", {})] * 40
    assert all(reply(stack, message.task_id)["outcome"] == {} for message in messages)


@pytest.mark.parametrize(
    ("error", "told", "replied"),
    [
        (
            ModelFailed("no"),
            ("fail", ModelFailed),
            {"error": "ModelFailed", "message": "no", "status": 500, "retry_after_s": None},
        ),
        (
            ModelUnavailable("no"),
            ("fail", ModelUnavailable),
            {"error": "ModelUnavailable", "message": "no", "status": 503, "retry_after_s": 30},
        ),
        (
            RuntimeError("a bug"),
            ("fail", ModelFailed),
            {
                "error": "ModelFailed",
                "message": "The worker failed on this request.",
                "status": 500,
                "retry_after_s": None,
            },
        ),
        (Dropped(), ("drop", None), None),
        (Requeued(), ("put back", "the worker stops"), None),
    ],
    ids=["failed", "unavailable", "bug", "dropped", "requeued"],
)
def test_celery_and_the_api_hear_how_a_job_ended(
    stack: Stack, error: Exception, told: tuple[str, object], replied: JsonObject | None
) -> None:
    message = Message()
    with carrying(stack, Ends(error)) as carrier:
        carrier.take(message)
        assert message.end() == told
    assert stack.store.replies.pop("task", 0.1) == (replied and {**replied, "host": HOST})


@pytest.mark.parametrize("others", [True, False])
def test_what_a_failed_model_held_goes_to_another_worker_if_there_is_one(
    stack: Stack, *, others: bool
) -> None:
    message, engine = Message(), Ends(ModelUnavailable("broken"), is_up=False)
    with carrying(stack, engine, others=others) as carrier:
        carrier.take(message)
        if others:
            assert message.end() == ("put back", "another worker has the model")
        else:
            assert message.end() == ("fail", ModelUnavailable)
            assert reply(stack)["error"] == "ModelUnavailable"


def test_a_message_without_a_job_ends_and_others_go_on(stack: Stack) -> None:
    broken, sound = Message("broken").without_job(), Message("sound")
    with carrying(stack, Ends(Outcome())) as carrier:
        carrier.take(broken)
        carrier.take(sound)
        assert broken.end() == ("fail", ModelUnavailable)
        assert sound.end() == ("succeed", {})
    assert reply(stack, "broken")["message"] == UNREADABLE
    assert reply(stack, "sound")


def test_a_large_job_may_be_nested_as_deeply_as_one_that_fits_into_its_message(
    stack: Stack,
) -> None:
    nested: JsonObject = {}
    for _ in range(220):
        nested = {"inner": nested}
    body = OllamaInstructions(body=nested)
    message, engine = Message("deep").with_large_job(stack, ollama=body), Ends(Outcome())
    with carrying(stack, engine) as carrier:
        carrier.take(message)
        assert message.end() == ("succeed", {})
    assert engine.jobs.get().message.ollama == body
    assert reply(stack, "deep")["outcome"] == {}


def test_a_large_job_that_cannot_be_read_fails_alone(stack: Stack) -> None:
    """It may be from an API of another version. The inputs of all are fetched in one trip."""
    names = ("before", "unreadable", "after")
    before, unreadable, after = messages = [Message(name).with_large_job(stack) for name in names]
    stack.redis.set(unreadable.job().stored_as, json.dumps({"tasks": ["of another version"]}))
    job_carrier = Carrier(
        stack.store, cast("Engine", Ends(Outcome())), lambda: False, set(), Stopping()
    )
    for message in messages:
        job_carrier.take(message)
    job_carrier.start()
    assert [message.end() for message in (before, after)] == [("succeed", {})] * 2
    assert unreadable.end() == ("fail", ModelUnavailable)
    job_carrier.close()
    assert reply(stack, "unreadable")["message"] == UNREADABLE


def test_a_bug_on_the_way_to_the_engine_is_told_to_the_client(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    message, engine = Message(), Ends(Outcome())
    monkeypatch.setattr(engine, "submit", lambda _: 1 / 0)
    with carrying(stack, engine) as carrier:
        carrier.take(message)
        assert message.end() == ("fail", ModelFailed)
    assert reply(stack)["message"] == "The worker failed on this request."


def test_a_bug_in_replies_holds_no_task_for_ever(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> JsonObject:
        raise KeyError

    first, second = Message("first"), Message("second")
    with carrying(stack, Ends(Outcome())) as job_carrier:
        with monkeypatch.context() as patched:
            patched.setattr(replying, "end_message", broken)
            job_carrier.take(first)
            assert first.end() == ("fail", KeyError)
        job_carrier.take(second)
        assert second.end() == ("succeed", {})
    assert reply(stack, "second")


def test_a_bug_in_what_is_made_of_an_end_holds_no_task_for_ever(stack: Stack) -> None:
    messages, engine = [Message("one"), Message("other")], Ends(ModelUnavailable("broken"))
    del engine.status
    engine.now.clear()
    with carrying(stack, engine) as job_carrier:
        for message in messages:
            job_carrier.take(message)
        for job in [engine.jobs.get(timeout=20) for _ in messages]:
            engine.end(job)
        assert [message.end() for message in messages] == [("fail", AttributeError)] * 2


@pytest.mark.parametrize("fault", [full, read_only, without_replicas])
def test_a_reply_is_sent_as_soon_as_redis_takes_it(stack: Stack, fault: Any) -> None:
    message = Message()
    with carrying(stack, Ends(Outcome())) as carrier:
        with fault(stack):
            carrier.take(message)
            with pytest.raises(queue.Empty):
                message.end(0.5)
        assert message.end() == ("succeed", {})
    assert reply(stack)["outcome"] == {}


def test_a_reply_that_nobody_waits_for_any_more_is_given_up_without_an_error(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Before the deadline: a job that comes after it, as on a busy machine, is dropped.
    monkeypatch.setattr(replying, "GIVE_UP_S", 0.5 - 30.0)
    message = Message("late", seconds=30.0)
    with carrying(stack, Ends(Outcome())) as job_carrier, full(stack):
        job_carrier.take(message)
        assert message.end() == ("succeed", {})
        assert time.time() >= message.job().deadline + replying.GIVE_UP_S
    assert stack.store.replies.pop("late", 0.1) is None


def test_images_are_fetched_as_soon_as_redis_is_back_and_dropped_after_the_deadline(
    stack: Stack,
) -> None:
    patient, hasty = Message("patient"), Message("hasty", seconds=0.5)
    with carrying(stack, Ends(Outcome())) as carrier:
        process = stack.redis_process
        process.terminate()
        process.wait(20)
        carrier.take(hasty)
        carrier.take(patient)
        assert hasty.end() == ("drop", None)
        assert patient.told.empty()
        stack.restart_redis()
        assert patient.end() == ("succeed", {})


def test_a_worker_that_stops_waits_for_a_silent_redis_once_and_not_for_each_job(
    stack: Stack,
) -> None:
    deadline.install()
    messages = [Message(f"held-{number}") for number in range(8)]
    engine, stopping = Ends(Requeued()), Stopping()
    engine.now.clear()
    with carrying(stack, engine, stopping=stopping) as carrier:
        for message in messages:
            carrier.take(message)
        jobs = [engine.jobs.get(timeout=20) for _ in messages]
        stopping._until = time.time()
        with silent(stack):
            for job in jobs:
                engine.end(job)
            until = time.monotonic() + 15  # for all of them
            told = [message.end(until - time.monotonic()) for message in messages]
    assert told == [("put back", "the worker stops")] * 8


def test_to_close_waits_for_what_was_taken(stack: Stack) -> None:
    message, engine = Message(), Ends(Outcome())
    engine.now.clear()
    job_carrier = Carrier(stack.store, cast("Engine", engine), lambda: False, set(), Stopping())
    job_carrier.start()
    job_carrier.take(message)
    job = engine.jobs.get(timeout=20)
    closing = threading.Thread(target=job_carrier.close)
    closing.start()
    closing.join(0.3)
    assert closing.is_alive()
    engine.end(job)
    closing.join(20)
    assert not closing.is_alive()
    assert message.end() == ("succeed", {})
