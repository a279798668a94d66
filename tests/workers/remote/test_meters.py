"""When a model on a server counts as slow, and when it is itself again."""

import pytest

from workers.remote.config import Healing
from workers.remote.meters import Crowd, Pace, Sample, tokens_per_s

FAST, SLOW = Sample(80.0, 1.0), Sample(20.0, 1.0)


def pace(*samples: Sample) -> Pace:
    watched = Pace(Healing(answers=5, share=0.5))
    for sample in samples:
        watched.note(sample)
    return watched


def test_speed_is_tokens_by_the_time_of_generation_alone() -> None:
    assert tokens_per_s({"eval_count": 50, "eval_duration": 2_000_000_000}) == 25.0


@pytest.mark.parametrize(
    "reply",
    [{}, {"eval_count": 2, "eval_duration": 10}, {"eval_count": 9, "eval_duration": 0}],
    ids=["silent", "too-short", "no-time"],
)
def test_answers_that_say_nothing_of_speed_are_left_out(reply: dict[str, int]) -> None:
    assert tokens_per_s(reply) is None


def test_one_slow_answer_is_no_trouble_but_enough_of_them_are() -> None:
    watched = pace(*[FAST] * 5, *[SLOW] * 2)
    assert watched.trouble() is None
    watched.note(SLOW)
    assert watched.trouble() == "20.0 tokens/s; its best was 80.0"


def test_a_model_that_was_slow_from_the_start_is_no_trouble_until_it_was_fast_once() -> None:
    assert pace(*[SLOW] * 20).trouble() is None
    assert pace(*[SLOW] * 5, *[FAST] * 5, *[SLOW] * 5).trouble()


def test_falling_to_the_cpu_is_trouble_whatever_the_speed() -> None:
    on_cpu = Sample(80.0, 0.0)
    assert pace(*[FAST] * 5, *[on_cpu] * 4).trouble() is None
    assert pace(*[FAST] * 5, *[on_cpu] * 5).trouble() == "it fell from the GPU to the CPU"
    assert pace(*[on_cpu] * 10).trouble() is None  # it always ran there
    assert pace(*[FAST] * 5, *[Sample(80.0, None)] * 5).trouble() is None


@pytest.mark.parametrize(
    ("speed", "gpu_share", "good"),
    [
        (70.0, 1.0, True),
        (30.0, 1.0, False),
        (70.0, 0.0, False),
        (None, 1.0, True),
        (None, 0, False),
    ],
)
def test_after_a_reload_one_answer_tells(
    *, speed: float | None, gpu_share: float, good: bool
) -> None:
    assert pace(*[FAST] * 5).is_good(speed, gpu_share) is good


def test_the_best_is_kept_when_watching_begins_anew() -> None:
    watched = pace(*[FAST] * 5)
    watched.forget()
    assert (watched.now, watched.best) == (0.0, 80.0)
    for _ in range(5):
        watched.note(SLOW)
    assert watched.trouble()


def test_answers_are_compared_with_those_that_had_as_many_beside_them() -> None:
    crowded, worse = Sample(25.0, 1.0, 4), Sample(10.0, 1.0, 4)
    watched = pace(*[FAST] * 5, *[crowded] * 20)
    assert watched.trouble() is None
    assert (watched.now, watched.best) == (25.0, 25.0)
    for _ in range(10):
        watched.note(worse)
    assert watched.trouble() is None  # of so many at once more are looked at
    watched.note(worse)
    assert watched.trouble() == "10.0 tokens/s; its best was 25.0"
    assert watched.is_good(15.0, 1.0, at_once=4)
    assert not watched.is_good(15.0, 1.0, at_once=1)


def test_a_few_lucky_answers_among_many_are_no_best() -> None:
    lucky, usual = Sample(60.0, 1.0, 3), Sample(25.0, 1.0, 3)
    watched = pace(*[lucky] * 5, *[usual] * 30)
    assert (watched.best, watched.trouble()) == (25.0, None)


def test_what_was_fast_among_many_is_expected_to_be_alone() -> None:
    watched = pace(*[Sample(50.0, 1.0, 4)] * 20)
    assert not watched.is_good(20.0, 1.0, at_once=1)
    assert watched.is_good(20.0, 1.0, at_once=8)  # nothing is known of so many


def test_how_many_there_were_at_once_is_an_average(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("workers.remote.meters.time.monotonic", lambda: now)
    crowd = Crowd()
    crowd.change(1)
    since = crowd.moment()
    now = 1.0
    crowd.change(3)
    now = 9.0
    crowd.change(-3)
    now = 10.0
    assert crowd.since(since) == 3  # 1 for two seconds, 4 for eight
    assert crowd.since(crowd.moment()) == 1


def test_loads_are_told_from_models_that_were_loaded_and_slow_ones_from_others() -> None:
    watched = pace()
    assert not watched.note_load({"load_duration": 2_000_000_000})
    assert not watched.note_load({"load_duration": 30_000_000})
    assert not watched.note_load({})
    assert (watched.load_s, watched.best_load_s) == (2.0, 2.0)
    assert watched.note_load({"load_duration": 5_000_000_000})
    assert (watched.load_s, watched.best_load_s) == (5.0, 2.0)
