"""When a model on a server counts as slow, and when as normal again."""

import pytest

from workers.remote.client import load_seconds, tokens_per_s
from workers.remote.config import HealingOptions
from workers.remote.meters import ConcurrencyMeter, Sample, ThroughputMeter

FAST, SLOW = Sample(80.0, 1.0), Sample(20.0, 1.0)


def metered(*samples: Sample) -> ThroughputMeter:
    meter = ThroughputMeter(HealingOptions(answers=5, share=0.5))
    for sample in samples:
        meter.record(sample)
    return meter


def test_speed_is_tokens_by_the_time_of_generation_alone() -> None:
    assert tokens_per_s({"eval_count": 50, "eval_duration": 2_000_000_000}) == 25.0


@pytest.mark.parametrize(
    "reply",
    [{}, {"eval_count": 2, "eval_duration": 10}, {"eval_count": 9, "eval_duration": 0}],
    ids=["silent", "too-short", "no-time"],
)
def test_answers_that_say_nothing_about_speed_are_left_out(reply: dict[str, int]) -> None:
    assert tokens_per_s(reply) is None


def test_one_slow_answer_is_no_problem_but_enough_of_them_are() -> None:
    meter = metered(*[FAST] * 5, *[SLOW] * 2)
    assert meter.problem() is None
    meter.record(SLOW)
    assert meter.problem() == "20.0 tokens/s; its best was 80.0"


def test_a_model_that_was_always_slow_has_no_problem_until_it_was_fast_once() -> None:
    assert metered(*[SLOW] * 20).problem() is None
    assert metered(*[SLOW] * 5, *[FAST] * 5, *[SLOW] * 5).problem()


def test_falling_to_the_cpu_is_a_problem_whatever_the_speed() -> None:
    on_cpu = Sample(80.0, 0.0)
    assert metered(*[FAST] * 5, *[on_cpu] * 4).problem() is None
    assert metered(*[FAST] * 5, *[on_cpu] * 5).problem() == "it fell from the GPU to the CPU"
    assert metered(*[on_cpu] * 10).problem() is None  # it always ran there
    assert metered(*[FAST] * 5, *[Sample(80.0, None)] * 5).problem() is None


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
def test_after_a_reload_one_answer_is_enough(
    *, speed: float | None, gpu_share: float, good: bool
) -> None:
    assert metered(*[FAST] * 5).is_normal(speed, gpu_share) is good


def test_the_best_speed_is_kept_on_reset() -> None:
    meter = metered(*[FAST] * 5)
    meter.reset()
    assert (meter.current, meter.best) == (0.0, 80.0)
    for _ in range(5):
        meter.record(SLOW)
    assert meter.problem()


def test_answers_are_compared_with_those_at_the_same_concurrency() -> None:
    usual, worse = Sample(25.0, 1.0, 4), Sample(10.0, 1.0, 4)
    meter = metered(*[FAST] * 5, *[usual] * 20)
    assert meter.problem() is None
    assert (meter.current, meter.best) == (25.0, 25.0)
    for _ in range(10):
        meter.record(worse)
    assert meter.problem() is None  # at this concurrency, more answers are compared
    meter.record(worse)
    assert meter.problem() == "10.0 tokens/s; its best was 25.0"
    assert meter.is_normal(15.0, 1.0, concurrency=4)
    assert not meter.is_normal(15.0, 1.0, concurrency=1)


def test_a_few_lucky_answers_set_no_best_speed() -> None:
    lucky, usual = Sample(60.0, 1.0, 3), Sample(25.0, 1.0, 3)
    meter = metered(*[lucky] * 5, *[usual] * 30)
    assert (meter.best, meter.problem()) == (25.0, None)


def test_the_best_speed_at_a_high_concurrency_is_expected_at_a_lower_one() -> None:
    meter = metered(*[Sample(50.0, 1.0, 4)] * 20)
    assert not meter.is_normal(20.0, 1.0, concurrency=1)
    assert meter.is_normal(20.0, 1.0, concurrency=8)  # nothing is known at this concurrency


def test_concurrency_is_an_average_over_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("workers.remote.meters.time.monotonic", lambda: now)
    meter = ConcurrencyMeter()
    meter.change(1)
    mark = meter.mark()
    now = 1.0
    meter.change(3)
    now = 9.0
    meter.change(-3)
    now = 10.0
    assert meter.average_since(mark) == 3  # 1 for two seconds, 4 for eight
    assert meter.average_since(meter.mark()) == 1


def test_loads_are_recorded_and_slow_ones_reported() -> None:
    meter = metered()
    assert not meter.record_load(load_seconds({"load_duration": 2_000_000_000}))
    assert not meter.record_load(load_seconds({"load_duration": 30_000_000}))
    assert not meter.record_load(load_seconds({}))
    assert (meter.load_s, meter.best_load_s) == (2.0, 2.0)
    assert meter.record_load(load_seconds({"load_duration": 5_000_000_000}))
    assert (meter.load_s, meter.best_load_s) == (5.0, 2.0)
