"""How long a batch may take, how large it may be, and how a divided job is put together again."""

import time

import pytest

from shared.errors import ModelFailed, ModelUnavailable
from shared.messages import Instructions, Outcome, Result
from shared.model_spec import EngineOptions
from shared.options import Options
from shared.tasks import CAPTION, LABELS, NSFW
from shared.tasks.caption import Caption
from shared.tasks.labels import Label
from tests.engines import item
from workers.engine.climbing import SizeCause
from workers.engine.pace import FACTOR, FLOOR_S, LEAST_SAMPLES, Pace, kind_of
from workers.engine.parts import divide
from workers.engine.sizing import FIRST_PAUSE_S, BatchSizer
from workers.model.memory import Memory

CAPTIONS = kind_of(Instructions(tasks=(CAPTION,)))
LONG = kind_of(Instructions(tasks=(CAPTION,), options=Options(num_predict=512)))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in seconds, which tests change."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_a_batch_of_an_unknown_kind_may_take_as_long_as_is_configured() -> None:
    pace = Pace(120.0)
    pace.record(CAPTIONS, 4, 0.1)
    assert pace.timeout_s(LONG, 4) == 120.0


def test_a_batch_of_a_fast_model_may_take_the_floor_unless_less_is_configured() -> None:
    for unknown_s, expected_s in ((120.0, FLOOR_S), (5.0, 5.0)):
        pace = Pace(unknown_s)
        pace.record(CAPTIONS, 4, 0.1)
        assert pace.timeout_s(CAPTIONS, 4) == expected_s


def test_the_time_of_a_slow_model_is_learnt_by_image() -> None:
    pace = Pace(3.0)
    pace.record(CAPTIONS, 4, 20.0)
    assert pace.timeout_s(CAPTIONS, 8) == FACTOR * 40.0
    assert pace.timeout_s(CAPTIONS, 1) == FACTOR * 20.0
    pace.record(CAPTIONS, 1, 6.0)
    assert pace.timeout_s(CAPTIONS, 2) == FACTOR * 12.0


def test_answers_without_an_image_tell_nothing_of_the_time_of_images() -> None:
    pace = Pace(120.0)
    pace.record(CAPTIONS, 0, 0.1)
    assert pace.timeout_s(CAPTIONS, 1) == 120.0


def test_a_single_slow_batch_changes_little() -> None:
    pace = Pace(120.0)
    for seconds in (4.0, 4.0, 100.0):
        pace.record(CAPTIONS, 1, seconds)
    assert pace.timeout_s(CAPTIONS, 1) == FACTOR * 4.0


def test_what_is_fixed_of_a_batchs_time_is_learnt_from_two_sizes() -> None:
    pace = Pace(120.0)
    for images in (1, 1, 1, 1, 8, 8, 8):
        assert pace.fixed_s(CAPTIONS) is None
        pace.record(CAPTIONS, images, 0.02 + 0.005 * images)
    assert pace.fixed_s(CAPTIONS) == pytest.approx(0.02)
    for images in (1, 8) * LEAST_SAMPLES:
        pace.record(LONG, images, 0.02 * images)
    assert pace.fixed_s(LONG) == pytest.approx(0)


def test_the_first_batches_of_a_size_do_not_tell_what_is_fixed() -> None:
    """On a GPU they allocate memory and record graphs, and a size may not come again soon."""
    pace = Pace(120.0)
    for images, slow_s in ((8, 0.0), (1, 0.5), (64, 0.4), (8, 0.0), (1, 0.1), (64, 0.1), (8, 0.0)):
        pace.record(CAPTIONS, images, slow_s + 0.05 + 0.001 * images)
        assert pace.fixed_s(CAPTIONS) is None
    pace.record(CAPTIONS, 64, 0.05 + 0.001 * 64)
    assert pace.fixed_s(CAPTIONS) == pytest.approx(0.05)


def test_batches_are_halved_until_one_image_is_left() -> None:
    sizer = BatchSizer(EngineOptions(max_batch=8))
    assert [(sizer.shrink(8, SizeCause.MEMORY), sizer.most) for _ in range(4)] == [
        (True, 4),
        (True, 2),
        (True, 1),
        (False, 1),
    ]
    assert sizer.reason == "memory ran out with 2 images in a batch"


def test_batches_grow_again_after_pauses_that_get_longer_in_vain(clock: list[float]) -> None:
    sizer = BatchSizer(EngineOptions(max_batch=8))
    sizer.shrink(8, SizeCause.MEMORY)
    sizer.succeeded(4, 0.1, Memory())
    assert sizer.most == 4
    clock[0] += FIRST_PAUSE_S
    sizer.succeeded(3, 0.1, Memory())  # not as large as it might have been
    assert sizer.most == 4
    sizer.succeeded(4, 0.1, Memory())
    assert sizer.most == 8
    sizer.shrink(8, SizeCause.MEMORY)
    clock[0] += FIRST_PAUSE_S
    sizer.succeeded(4, 0.1, Memory())
    assert sizer.most == 4
    clock[0] += FIRST_PAUSE_S
    sizer.succeeded(4, 0.1, Memory())
    assert (sizer.most, sizer.is_reduced) == (8, True)
    clock[0] += 2 * FIRST_PAUSE_S
    sizer.succeeded(8, 0.1, Memory())
    assert (sizer.most, sizer.is_reduced, sizer.reason) == (8, False, "max_batch of the row")
    sizer.shrink(8, SizeCause.MEMORY)  # much later: the pauses begin anew
    clock[0] += FIRST_PAUSE_S
    sizer.succeeded(4, 0.1, Memory())
    assert sizer.most == 8


def test_a_batch_that_was_not_full_is_halved_too() -> None:
    sizer = BatchSizer(EngineOptions(max_batch=64))
    assert sizer.shrink(5, SizeCause.MEMORY)
    assert (sizer.most, sizer.reason) == (2, "memory ran out with 5 images in a batch")


# Divided jobs


def done(result: Result) -> Outcome:
    return Outcome(result)


def test_the_answers_for_parts_are_combined_as_those_for_images() -> None:
    whole = item(1, 2, 3, tasks=(CAPTION, LABELS, NSFW))
    parts = divide(whole)
    assert [part.key for part in parts] == [f"{whole.task_id}/{n}" for n in range(3)]
    for number in (2, 0):
        label = Label(name="cat", confidence=0.1 * (number + 1))
        answers = {CAPTION: Caption(text=f"photo {number}"), LABELS: (label,)}
        verdict = {NSFW: ({"status": "safe", "score": number / 10},)}
        parts[number].future.set_result(done(Result({**answers, **verdict})))
    assert not whole.future.done()
    parts[1].refuse(ModelFailed("It is deadly."))
    result = whole.future.result(0).result
    assert result[CAPTION].text == "photo 0"
    assert [(label.name, round(label.confidence, 1)) for label in result[LABELS]] == [("cat", 0.3)]
    assert [verdict.reason for verdict in result[NSFW]] == [None, "It is deadly.", None]
    assert [verdict.status for verdict in result[NSFW]] == ["safe", "unavailable", "safe"]


def test_a_divided_job_fails_when_all_parts_do() -> None:
    whole = item(1, 2)
    for number, part in enumerate(divide(whole)):
        part.refuse(ModelFailed(f"Number {number} is deadly."))
    with pytest.raises(ModelFailed, match="Number 0"):
        whole.future.result(0)


def test_what_concerns_the_worker_is_told_of_the_whole_job_at_once() -> None:
    whole = item(1, 2)
    first, second = divide(whole)
    first.refuse(ModelUnavailable("The model has failed."))
    with pytest.raises(ModelUnavailable):
        whole.future.result(0)
    second.refuse(ModelUnavailable("The model has failed."))


def test_a_job_of_one_image_is_not_divided() -> None:
    job = item(1)
    assert divide(job) == [job]
