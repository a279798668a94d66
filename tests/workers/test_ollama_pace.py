"""When a model on a server counts as slow, and when it is itself again."""

import pytest

from workers.ollama.config import Healing
from workers.ollama.pace import Pace, Sample, tokens_per_s

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
