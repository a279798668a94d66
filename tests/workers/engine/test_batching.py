"""How long the engine waits for the clients of the last batch."""

from workers.engine.batching import LONGEST_S, SHARE, Linger


def after_a_batch(expected: int, seconds: float) -> Linger:
    linger = Linger()
    linger.start(expected, seconds, now=100)
    return linger


def test_a_wait_is_a_small_share_of_the_batch() -> None:
    linger = after_a_batch(4, seconds=2)
    assert round(linger.remaining(3, now=100), 6) == SHARE * 2
    assert linger.remaining(3, now=100 + SHARE * 2) == 0


def test_no_wait_is_long() -> None:
    assert round(after_a_batch(4, seconds=60).remaining(3, now=100), 6) == LONGEST_S


def test_who_is_complete_does_not_wait() -> None:
    assert after_a_batch(4, seconds=2).remaining(4, now=100) == 0


def test_nobody_waits_before_the_first_batch() -> None:
    assert Linger().remaining(0, now=100) == 0
