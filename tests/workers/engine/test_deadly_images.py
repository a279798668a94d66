"""Several deadly images at once: they are refused, and nobody else is. Each costs loads: slow."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import psutil
import pytest

from shared.errors import ModelFailed
from shared.messages import Outcome
from shared.tasks import CAPTION, NSFW
from shared.vocabulary import WorkerState
from tests.engines import (
    begin,
    caption,
    expected,
    item,
    running,
    standing_still,
    text_of,
    texts_of,
)
from tests.stack import wait_for
from workers.engine import faults
from workers.engine.faults import Quarantine

CLIENTS = 8


@pytest.mark.slow
@pytest.mark.parametrize(
    ("knob", "deadly", "most"),
    [
        ("crash_on_red", 6, 2),
        ("device_fault_on_red", 6, 2),
        ("out_of_memory_on_red", 6, 2),
        ("hang_on_red", 4, 3),  # after its first hang, an image is run with others once more
    ],
)
def test_innocents_are_answered_although_many_images_are_deadly(
    knob: str, deadly: int, most: int
) -> None:
    """Each deadly image costs ``most`` processes at most."""
    knobs: Any = {knob: 200}
    options: Any = {"batch_timeout_s": 1.0, "max_failures": 2}
    with (
        running(predict_s=0.05, engine=options, **knobs) as engine,
        ThreadPoolExecutor(CLIENTS) as pool,
    ):
        assert caption(engine, 0)
        innocents = [pool.submit(caption, engine, red) for red in range(20)]
        guilty = [engine.submit(item(200, green=n)) for n in range(deadly)]
        innocents += [pool.submit(caption, engine, red) for red in range(20, 40)]
        assert [innocent.result() for innocent in innocents] == expected(range(40))
        assert [type(future.exception(60)) for future in guilty] == [ModelFailed] * deadly
        assert sum(engine.status.recycles.values()) <= most * deadly


@pytest.mark.slow
def test_deadly_images_one_after_the_other_never_close_the_model() -> None:
    with running(crash_on_red=200, engine={"max_failures": 2}) as engine:
        guilty = [engine.submit(item(200, green=n)) for n in range(6)]
        assert [type(future.exception(60)) for future in guilty] == [ModelFailed] * 6
        assert caption(engine, 1) == "rgb 1 0 0"  # at once: no pause is on


@pytest.mark.slow
def test_an_image_is_deadly_whatever_is_asked_about_it() -> None:
    asked_at_once = [item(200, prompt=f"prompt {n}") for n in range(5)]
    asked_at_once.append(item(200, tasks=(NSFW,)))
    with running(crash_on_red=200) as engine:
        with standing_still(engine):
            begin(engine, asked_at_once[:1], asked_at_once[1:])
        for job in asked_at_once:
            with pytest.raises(ModelFailed, match="refused for a while"):
                job.future.result(30)
        for later in (item(200, prompt="later"), item(200, tasks=(NSFW,)), item(200, 200)):
            with pytest.raises(ModelFailed, match="refused for a while"):
                engine.submit(later).result(30)
        assert engine.status.recycles == {"crash": 2}


@pytest.mark.slow
@pytest.mark.parametrize("knob", ["hang_on_red", "device_fault_on_red"])
def test_what_was_only_prepared_beside_a_hang_or_a_fault_of_the_gpu_is_no_suspect(
    knob: str,
) -> None:
    knobs: Any = {knob: 200}
    options: Any = {"batch_timeout_s": 3.0, "max_batch": 4}
    guilty, prepared = item(200), [item(red) for red in range(4)]
    with running(engine=options, **knobs) as engine:
        with standing_still(engine):
            begin(engine, [guilty], prepared)
        assert texts_of(prepared) == expected(range(4))
        assert type(guilty.future.exception(30)) is ModelFailed
        assert engine.status.batches == {4: 1}  # each alone: {1: 4}


@pytest.mark.slow
def test_suspects_are_answered_although_others_keep_coming() -> None:
    """Others always wait: each that is answered is followed by another, and they fill batches."""
    over, answered = threading.Event(), []

    def follow(future: "Future[Outcome]") -> None:
        if not future.exception():
            answered.append(future.result().result[CAPTION].text)
        if not over.is_set():
            engine.submit(item(1)).add_done_callback(follow)

    with running(predict_s=0.1, engine={"max_batch": 2}) as engine:
        wait_for("the model", lambda: engine.status.state == WorkerState.READY)
        suspects = [engine.submit(item(red)) for red in range(2, 6)]
        for _ in range(6):
            engine.submit(item(1)).add_done_callback(follow)
        wait_for("the batch", lambda: engine.status.state == WorkerState.BUSY)
        psutil.Process(engine.status.model_pid).kill()
        assert [text_of(future) for future in suspects] == expected(range(2, 6))
        over.set()
        assert engine.status.recycles == {"crash": 1}
        assert set(answered) == {"rgb 1 0 0"}


def test_images_that_were_deadly_together_are_refused_together() -> None:
    quarantine = Quarantine(60)
    quarantine.add(item(1, 2))
    assert item(2, 1, prompt="another") in quarantine
    assert item(1, 2, 3) in quarantine
    assert item(1) not in quarantine


def test_of_too_many_deadly_images_the_oldest_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(faults, "MAX_CONVICTED", 2)
    quarantine = Quarantine(60)
    for red in range(3):
        quarantine.add(item(red))
    assert [item(red) in quarantine for red in range(3)] == [False, True, True]


def test_nothing_is_kept_without_a_time_or_without_an_image() -> None:
    brief, empty = Quarantine(0), Quarantine(60)
    brief.add(item(1))
    empty.add(item())
    assert item(1) not in brief
    assert item(1) not in empty
