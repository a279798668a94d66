"""How long the command line waits before it asks a service again."""

import pytest

from vision.http import LONGEST_PAUSE_S, pause_s, retry_after_s


@pytest.mark.parametrize(("failures", "waited_s"), [(0, 1), (1, 2), (4, 16), (99, LONGEST_PAUSE_S)])
def test_pauses_double_to_a_limit_where_the_service_does_not_say_how_long(
    failures: int, waited_s: float
) -> None:
    assert pause_s(None, failures, patience_s=600) == waited_s


def test_what_the_service_says_counts_and_nobody_waits_longer_than_he_is_patient() -> None:
    assert pause_s(90.0, 0, patience_s=600) == 90
    assert pause_s(0.0, 9, patience_s=600) == 0
    assert pause_s(90.0, 0, patience_s=5) == pause_s(None, 9, patience_s=5) == 5


@pytest.mark.parametrize("said", ["", "soon", "-1", "nan", "inf", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_a_time_that_is_no_number_of_seconds_is_none(said: str) -> None:
    assert retry_after_s({"Retry-After": said}) is None


def test_a_number_of_seconds_is_one() -> None:
    assert retry_after_s({"Retry-After": "2.5"}) == 2.5
    assert retry_after_s({}) is None
