"""What the engine does while images are prepared, and when their preparation crashes or hangs."""

import os
import signal
from typing import Any

import psutil
import pytest

from shared.errors import UndecodableImage
from shared.settings import Settings
from shared.tasks import CAPTION, NSFW
from shared.vocabulary import WorkerState
from tests.engines import (
    begin,
    captions,
    expected,
    item,
    running,
    running_row,
    standing_still,
    text_of,
)
from tests.stack import wait_for
from workers.engine.job import Dropped, Requeued
from workers.engine.local import LocalEngine

SLOW_DEATH: dict[str, Any] = {"hang_in_prepare_on_red": 200, "hang_s": 3600.0}


def pids(engine: LocalEngine) -> list[int]:
    """Return the ids of the processes that prepare images."""
    return engine._pool.pids


def wait_ready(engine: LocalEngine) -> None:
    wait_for("the model", lambda: engine.status.state == WorkerState.READY)


def test_many_jobs_at_once_are_answered_each_with_its_own_images() -> None:
    with running(engine={"max_batch": 4}) as engine:
        assert captions(engine, range(60)) == expected(range(60))


def test_images_are_prepared_while_the_batch_before_them_runs() -> None:
    first, second = item(1), item(2, prompt="another batch")
    with running() as engine:
        with standing_still(engine):
            begin(engine, [first], [second])
            assert not first.future.done()
        assert text_of(second.future) == "rgb 2 0 0 another batch"


@pytest.mark.parametrize(
    ("knob", "timeout_s"),
    [
        ("crash_in_prepare_on_red", 60),
        pytest.param("hang_in_prepare_on_red", 3, marks=pytest.mark.slow),
    ],
)
def test_an_image_that_ends_its_decoder_costs_the_model_and_other_jobs_nothing(
    knob: str, timeout_s: float
) -> None:
    parameters: Any = {knob: 200, "predict_s": 0.05}
    row = {"name": "fake", "family": "fake", "parameters": parameters}
    with running_row(row, Settings(decode_timeout_s=timeout_s)) as engine:
        guilty = engine.submit(item(200))
        innocents = [engine.submit(item(red)) for red in range(10)]
        both = engine.submit(item(1, 200, tasks=(CAPTION, NSFW)))
        assert [text_of(future) for future in innocents] == expected(range(10))
        with pytest.raises(UndecodableImage, match=r"cannot be decoded: its decoder (crash|took)"):
            guilty.result(30)
        result = both.result(30).result
        assert result[CAPTION].text == "rgb 1 0 0"
        assert [found.status for found in result[NSFW]] == ["safe", "unavailable"]
        assert engine.status.recycles == {}


def test_a_decoder_that_is_killed_from_outside_costs_no_request() -> None:
    with running() as engine:
        wait_ready(engine)
        (pid,) = wait_for("a process", lambda: pids(engine))
        os.kill(pid, signal.SIGSTOP)  # so that it is killed before it is done
        future = engine.submit(item(200))
        wait_for("a busy process", lambda: busy(engine))
        os.kill(pid, signal.SIGKILL)
        assert text_of(future) == "rgb 200 0 0"
        assert pids(engine) != [pid]


def test_jobs_do_not_wait_for_one_whose_image_takes_long() -> None:
    with running(**SLOW_DEATH) as engine:
        wait_ready(engine)
        stuck = engine.submit(item(200))
        assert captions(engine, range(9)) == expected(range(9))
        assert not stuck.done()


def test_a_job_that_is_cancelled_while_its_images_are_prepared_is_dropped() -> None:
    cancelled: set[str] = set()
    with running(lambda ids: cancelled & set(ids), **SLOW_DEATH) as engine:
        wait_ready(engine)
        job = item(200)
        engine.submit(job)
        wait_for("a busy process", lambda: busy(engine))
        cancelled.add(job.task_id)
        assert type(job.future.exception(10)) is Dropped


def test_a_worker_that_stops_requeues_what_is_being_prepared_and_leaves_no_process() -> None:
    with running(**SLOW_DEATH) as engine:
        wait_ready(engine)
        futures = [engine.submit(item(200)) for _ in range(3)]
        wait_for("a busy process", lambda: busy(engine))
        begun = pids(engine)
    assert [type(future.exception(0)) for future in futures] == [Requeued] * 3
    assert not any(psutil.pid_exists(pid) for pid in begun)


def test_a_model_process_that_crashes_takes_no_prepared_image_along() -> None:
    waiting = item(2)
    with running() as engine:
        with standing_still(engine):
            begin(engine, [item(1)], [waiting])
            for pid in pids(engine):
                os.kill(pid, signal.SIGSTOP)  # nothing can be prepared again
            psutil.Process(engine.status.model_pid).kill()
        assert waiting.future.result(30).result[CAPTION].text == "rgb 2 0 0"
        assert engine.status.recycles == {"crash": 1}


def busy(engine: LocalEngine) -> bool:
    """Return whether an image is being prepared."""
    return engine._pool.is_busy
