"""Slow and large is not broken: batches shrink and grow, and jobs of several images are divided."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from shared.errors import ModelFailed
from shared.tasks import NSFW
from shared.vocabulary import WorkerState
from tests.engines import caption, captions, expected, item, running, text_of
from tests.stack import wait_for
from workers.engine import sizing
from workers.engine.job import EngineJob, Requeued
from workers.engine.local import LocalEngine

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _grow_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizing, "FIRST_PAUSE_S", 0.2)


def scores(engine: LocalEngine, job: EngineJob) -> list[int | str]:
    """Return the red of each image, or why there is no verdict on it."""
    verdicts = engine.submit(job).result(60).result[NSFW]
    return [verdict.reason or round(255 * verdict.score) for verdict in verdicts]


def nsfw(*reds: int) -> EngineJob:
    return item(*reds, tasks=(NSFW,))


REFUSED = "fake crashed or hung on this image alone; it is refused for a while."


def test_a_slow_model_loses_one_batch_at_most_and_batches_grow_again() -> None:
    options = {"max_batch": 8, "batch_timeout_s": 1.8}  # for six images: half a batch is in time
    with running(image_s=0.3, engine=options) as engine:
        wait_for("the model", lambda: engine.status.state == WorkerState.READY)
        assert captions(engine, range(16)) == expected(range(16))
        assert engine.status.recycles.get("hang", 0) <= 1
        assert captions(engine, range(16, 40)) == expected(range(16, 40))
        assert engine.status.recycles.get("hang", 0) <= 1
        assert engine.status.max_batch == 8


@pytest.mark.parametrize("knob", ["crash_on_red", "hang_on_red"])
def test_one_deadly_image_of_a_request_is_left_out_and_the_others_are_answered(knob: str) -> None:
    knobs: Any = {knob: 200}
    with running(engine={"batch_timeout_s": 1.0}, **knobs) as engine:
        asked = nsfw(1, 2, 3, 200, 5, 6, 7, 8)
        assert scores(engine, asked) == [1, 2, 3, REFUSED, 5, 6, 7, 8]
        replaced = sum(engine.status.recycles.values())
        assert replaced <= 3
        assert scores(engine, nsfw(200, 9)) == [REFUSED, 9]
        with pytest.raises(ModelFailed, match="refused for a while"):
            engine.submit(nsfw(200)).result(30)
        assert sum(engine.status.recycles.values()) == replaced


def test_a_request_whose_number_of_images_is_too_much_is_answered() -> None:
    with running(crash_above=4) as engine:
        assert scores(engine, nsfw(*range(8))) == list(range(8))
        assert engine.status.recycles == {"crash": 1}


def test_a_request_that_takes_too_long_as_a_whole_is_answered() -> None:
    with running(hang_above=4, engine={"batch_timeout_s": 1.5}) as engine:
        assert scores(engine, nsfw(*range(8))) == list(range(8))
        assert engine.status.recycles == {"hang": 1}


def test_a_request_that_does_not_fit_is_answered_and_the_model_never_fails() -> None:
    """A limit of one image, below the whole request's need by any chunk of the model's."""
    with running(out_of_memory_above=1, engine={"max_failures": 1}) as engine:
        for _ in range(5):
            asked = engine.submit(nsfw(*range(8)))
            assert caption(engine, 100)
            assert len(asked.result(30).result[NSFW]) == 8
        assert engine.status.recycles == {}
        assert engine.status.state == WorkerState.DEGRADED


def test_an_image_that_never_fits_does_not_make_the_model_fail_however_often_it_comes() -> None:
    with running(out_of_memory_on_red=9, engine={"max_failures": 1}) as engine:
        for _ in range(5):
            asked = engine.submit(item(9))
            assert caption(engine, 1)
            with pytest.raises(ModelFailed, match="does not have enough memory"):
                asked.result(30)
        assert scores(engine, nsfw(1, 9, 3))[::2] == [1, 3]
        assert engine.status.last_error == ""


def test_an_image_of_a_larger_request_that_does_not_fit_gets_a_fresh_process_too(
    tmp_path: Path,
) -> None:
    """As one that is asked about alone: what was there before may hold the memory."""
    limit = tmp_path / "limit"
    knobs: Any = {"load_s": 1.0, "image_mb": 1.0, "memory_mb_file": str(limit)}
    asked = nsfw(1, 2)
    with running(engine={"max_batch": 1}, **knobs) as engine:
        wait_for("the model", lambda: engine.status.state == WorkerState.READY)
        limit.write_text("0.5")
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(scores, engine, asked)
            wait_for("a fresh process", lambda: answer.done() or engine.status.recycles)
            limit.unlink()
            assert answer.result() == [1, 2]
        assert engine.status.recycles == {"out_of_memory": 1}


def test_batches_grow_again_when_memory_is_back(tmp_path: Path) -> None:
    limit = tmp_path / "limit"
    limit.write_text("3")
    knobs: Any = {"predict_s": 0.05, "image_mb": 1.0, "memory_mb_file": str(limit)}
    with running(engine={"max_batch": 8}, **knobs) as engine:
        assert caption(engine, 0)
        assert captions(engine, range(32)) == expected(range(32))
        assert engine.status.state == WorkerState.DEGRADED
        assert engine.status.reason.startswith("memory ran out with ")
        limit.unlink()

        def grown() -> bool:
            assert captions(engine, range(32)) == expected(range(32))
            return engine.status.state.is_up and engine.status.state != WorkerState.DEGRADED

        wait_for("full batches", grown)
        assert engine.status.max_batch == 8
        assert engine.status.reason == ""


def test_a_divided_request_is_requeued_as_a_whole_when_the_worker_stops() -> None:
    with running(hang_on_red=200, engine={"batch_timeout_s": 1.0}) as engine:
        wait_for("the model", lambda: engine.status.state == WorkerState.READY)
        asked = engine.submit(nsfw(1, 200))
        wait_for("the hang", lambda: engine.status.recycles)
        engine.drain()
        assert type(asked.exception(30)) is Requeued
        assert type(engine.submit(item(1)).exception(30)) is Requeued


def test_captions_of_a_divided_request_are_combined_as_ever() -> None:
    with running(crash_above=2) as engine:
        assert text_of(engine.submit(item(4, 5, 6))) == "rgb 4 0 0"
