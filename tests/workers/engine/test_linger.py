"""How long the next batch waits for the clients of the last one."""

from typing import Any

import pytest

from workers.engine.linger import LONGEST_S, SHARE, SPARE, Linger

RETURN_S, FIXED_S, BATCH_S = 0.008, 0.02, 0.04


def after_a_batch(expected: int, seconds: float) -> Linger:
    linger = Linger()
    linger.start(expected, 0, seconds, now=100, fixed_s=None, on_accelerator=True)
    return linger


def test_a_wait_is_a_small_share_of_the_batch_while_little_is_known() -> None:
    linger = after_a_batch(4, seconds=2)
    assert round(linger.remaining(3, now=100), 6) == SHARE * 2
    assert linger.remaining(3, now=100 + SHARE * 2) == 0


def test_no_wait_is_long() -> None:
    assert round(after_a_batch(4, seconds=60).remaining(3, now=100), 6) == LONGEST_S


def test_who_is_complete_does_not_wait() -> None:
    assert after_a_batch(4, seconds=2).remaining(4, now=100) == 0


def test_nobody_waits_before_the_first_batch() -> None:
    assert Linger().remaining(0, now=100) == 0


def wait_s(
    *,
    fixed_s: float | None,
    return_s: float,
    answered: int = 2,
    waiting: int = 2,
    on_accelerator: bool = True,
) -> float:
    """How long a batch waits once it is known how long clients take to come back."""
    linger, now = Linger(), 100.0
    known: dict[str, Any] = {"fixed_s": fixed_s, "on_accelerator": on_accelerator}
    expected = min(8, answered + waiting)
    for _ in range(9):
        linger.start(expected, waiting, BATCH_S, now, **known)
        for _ in range(answered):
            linger.arrived(now + return_s)
        now += return_s + BATCH_S
    linger.start(expected, waiting, BATCH_S, now, **known)
    return linger.remaining(waiting, now)


@pytest.mark.parametrize("on_accelerator", [True, False])
def test_clients_are_waited_for_that_come_back_sooner_than_a_batch_of_their_own_costs(
    *,
    on_accelerator: bool,
) -> None:
    found = wait_s(fixed_s=FIXED_S, return_s=RETURN_S, on_accelerator=on_accelerator)
    assert found == pytest.approx(SPARE * RETURN_S)


@pytest.mark.parametrize(
    ("fixed_s", "return_s"), [(0.0, RETURN_S), (0.9 * RETURN_S, RETURN_S), (FIXED_S, 1.0)]
)
def test_an_accelerator_does_not_stand_still_for_others(fixed_s: float, return_s: float) -> None:
    assert wait_s(fixed_s=fixed_s, return_s=return_s) == 0


@pytest.mark.parametrize(
    ("fixed_s", "return_s"), [(0.0, RETURN_S), (0.9 * RETURN_S, RETURN_S), (FIXED_S, 1.0)]
)
def test_the_cores_work_on_requests_for_a_moment(fixed_s: float, return_s: float) -> None:
    found = wait_s(fixed_s=fixed_s, return_s=return_s, on_accelerator=False)
    assert found == pytest.approx(SHARE * BATCH_S)


def test_a_full_batch_that_waits_is_begun_at_once() -> None:
    assert wait_s(fixed_s=FIXED_S, return_s=RETURN_S, waiting=8) == 0


def test_clients_that_are_new_tell_nothing_of_those_that_come_back() -> None:
    linger, now = Linger(), 100.0
    for _ in range(9):
        linger.start(4, 2, BATCH_S, now, fixed_s=FIXED_S, on_accelerator=True)
        for _ in range(2):
            linger.arrived(now + RETURN_S)
        for _ in range(3):
            linger.arrived(now + BATCH_S)
        now += BATCH_S
    linger.start(4, 2, BATCH_S, now, fixed_s=FIXED_S, on_accelerator=True)
    assert linger.remaining(2, now) == pytest.approx(SPARE * RETURN_S)


def test_clients_that_went_away_are_soon_not_waited_for() -> None:
    linger, now, waits = Linger(), 100.0, []
    for batch in range(20):
        linger.start(4, 2, BATCH_S, now, fixed_s=FIXED_S, on_accelerator=True)
        waits.append(linger.remaining(2, now))
        if batch < 10:
            for _ in range(2):
                linger.arrived(now + RETURN_S)
        now += BATCH_S
    assert waits[9] == pytest.approx(SPARE * RETURN_S)
    assert waits[-1] == 0
