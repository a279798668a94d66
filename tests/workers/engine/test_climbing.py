"""The batch size that a device finds by itself: in arithmetic, and with a model in a process."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from shared.messages import Instructions
from shared.model_spec import EngineOptions
from shared.options import Options
from shared.tasks import CAPTION
from shared.units import MEGA
from shared.vocabulary import WorkerState
from tests.engines import caption, captions, expected, running
from tests.stack import wait_for
from workers.engine import climbing, sizing
from workers.engine.climbing import FIRST, HOLDS_S, MOST, SAMPLES, WARM_UP, Climb, SizeCause
from workers.engine.local import LocalEngine
from workers.engine.pace import kind_of
from workers.engine.sizing import BatchSizer
from workers.model.memory import Memory

CAPTIONS = kind_of(Instructions(tasks=(CAPTION,)))
LONG = kind_of(Instructions(tasks=(CAPTION,), options=Options(num_predict=512)))


def climbed(
    seconds: Callable[[int], float],
    climb: Climb | None = None,
    memory: Callable[[int], Memory] = lambda _: Memory(),
) -> Climb:
    """Let full batches be run until the size no longer changes."""
    climb = climb or Climb(target_s=1.0)
    before = 0
    while before != climb.most:
        before = climb.most
        for _ in range(WARM_UP + SAMPLES):
            climb.record(climb.most, seconds(climb.most), memory(climb.most))
    return climb


def test_it_grows_while_launches_cost_more_than_images() -> None:
    climb = climbed(lambda images: 0.2 + 0.001 * images)
    assert climb.most == MOST
    assert climb.reason == "390 images/s; no batch is larger"


def test_it_stops_before_a_batch_takes_longer_than_the_target() -> None:
    climb = climbed(lambda images: 0.2 + 0.01 * images)
    assert climb.most == 64
    assert climb.reason == "76 images/s; a batch of 128 would take 1.5 s"


def test_it_goes_back_from_a_size_that_is_no_faster() -> None:
    climb = climbed(lambda images: 0.01 * images)
    assert climb.most == FIRST
    assert climb.reason == "100 images/s; 16 are no faster"


def test_it_goes_below_the_first_size_where_that_takes_too_long() -> None:
    climb = climbed(lambda images: 0.3 * images)
    assert climb.most == 4
    assert "takes 2.4 s" in climb.reason


def test_it_stops_before_a_batch_that_would_not_fit() -> None:
    def memory(images: int) -> Memory:
        return Memory(used=600 * MEGA, free=400 * MEGA, peak=(100 + 12 * images) * MEGA)

    climb = climbed(lambda _: 0.2, memory=memory)
    assert climb.most == 64
    assert climb.reason == "320 images/s; a batch of 128 would not fit in memory"


def test_a_batch_that_is_not_nearly_full_says_nothing() -> None:
    climb = Climb(target_s=1.0)
    for _ in range(50):
        climb.record(FIRST // 2, 0.1, Memory())
    assert (climb.most, climb.reason) == (FIRST, "being measured")


def test_a_batch_that_is_not_nearly_full_but_takes_too_long_counts() -> None:
    climb = Climb(target_s=1.0)
    in_a_row = WARM_UP + SAMPLES - 1
    for seconds in (2.0, 2.0, 0.1, *[2.0] * in_a_row):
        climb.record(FIRST // 2, seconds, Memory())
    assert climb.most == FIRST  # one too few in a row
    climb.record(FIRST // 2, 2.0, Memory())
    assert (climb.most, climb.cause) == (FIRST // 2, SizeCause.TARGET)


def test_a_size_is_given_up_when_batches_take_longer_and_found_again_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    climb = climbed(lambda images: 0.2 + 0.01 * images)
    shared = climbed(lambda images: 0.4 + 0.02 * images, climb)
    assert shared.most == 32
    assert climbed(lambda images: 0.2 + 0.01 * images, climb).most == 32
    now[0] += HOLDS_S + 1
    assert climbed(lambda images: 0.2 + 0.01 * images, climb).most == 64


def run(sizer: BatchSizer, seconds: Callable[[int], float], batches: int = 40) -> None:
    for _ in range(batches):
        sizer.succeeded(sizer.most, seconds(sizer.most), Memory())


def test_each_kind_of_batches_has_a_size_of_its_own() -> None:
    sizer = BatchSizer(EngineOptions())
    for kind, image_s, most in ((CAPTIONS, 0.001, MOST), (LONG, 0.04, 16), (CAPTIONS, 0.001, MOST)):
        sizer.turn_to(kind, on_accelerator=True)
        run(sizer, lambda images, image_s=image_s: 0.2 + image_s * images)  # type: ignore[misc]
        assert sizer.most == most


def test_a_pinned_size_and_a_cpu_are_left_alone() -> None:
    for options, on_accelerator, most in (
        (EngineOptions(max_batch=3), True, 3),
        (EngineOptions(cpu_batch=2), False, 2),
    ):
        sizer = BatchSizer(options)
        sizer.turn_to(CAPTIONS, on_accelerator=on_accelerator)
        run(sizer, lambda _: 0.2)
        assert sizer.most == most
        assert sizer.reason.endswith("of the row")


def test_memory_that_runs_out_on_the_way_up_is_no_failure() -> None:
    sizer = BatchSizer(EngineOptions())
    sizer.turn_to(CAPTIONS, on_accelerator=True)
    run(sizer, lambda _: 0.2, batches=WARM_UP + SAMPLES)
    assert sizer.most == 2 * FIRST
    assert sizer.shrink(2 * FIRST, SizeCause.MEMORY)
    assert (sizer.most, sizer.is_reduced, sizer.cause) == (FIRST, False, SizeCause.MEMORY)
    assert "memory ran out with 16 images in a batch" in sizer.reason
    assert sizer.shrink(FIRST, SizeCause.MEMORY)
    assert (sizer.most, sizer.is_reduced) == (FIRST // 2, True)


# With a model that pretends to be on a GPU


@contextmanager
def pretended_gpu(**knobs: Any) -> Iterator[LocalEngine]:
    with running(predict_s=0.05, image_s=0.0002, accelerator="a GPU", **knobs) as engine:
        assert caption(engine, 0)
        yield engine


def feed(engine: LocalEngine, done: Callable[[], bool]) -> None:
    """Have as many clients as the worker would hold jobs, until it is done."""

    def fed() -> bool:
        reds = [n % 200 for n in range(engine.concurrency)]
        assert captions(engine, reds) == expected(reds)
        return done()

    wait_for("the size", fed, 60)


def test_a_model_on_a_gpu_finds_its_size_and_the_worker_holds_as_many_jobs() -> None:
    with pretended_gpu() as engine:
        assert engine.status.max_batch == FIRST
        feed(engine, lambda: engine.status.max_batch == MOST)
        assert engine.concurrency >= 2 * MOST
        assert engine.status.state != WorkerState.DEGRADED
        feed(engine, lambda: "no batch is larger" in engine.status.max_batch_reason)


def test_it_stays_below_the_memory_of_the_gpu_and_grows_when_there_is_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(climbing, "HOLDS_S", 0.5)
    monkeypatch.setattr(sizing, "FIRST_PAUSE_S", 0.1)
    limit = tmp_path / "limit"
    limit.write_text("40")
    with pretended_gpu(image_mb=1.0, memory_mb_file=str(limit)) as engine:
        feed(engine, lambda: "memory ran out" in engine.status.max_batch_reason)
        assert engine.status.max_batch == 32
        assert engine.status.recycles == {}
        limit.write_text("100")
        feed(engine, lambda: engine.status.max_batch == 64)


def test_one_client_at_a_time_changes_nothing() -> None:
    with pretended_gpu() as engine, ThreadPoolExecutor(1) as pool:
        assert list(pool.map(lambda red: caption(engine, red), range(20))) == expected(range(20))
        assert engine.status.max_batch == FIRST
