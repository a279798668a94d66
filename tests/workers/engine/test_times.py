"""Where the time of jobs goes, and how busy the model is."""

import time

import pytest

from shared.messages import JobTimes
from tests.engines import item, running
from workers.engine.times import WINDOW_S, RecentBatches


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in seconds, which tests change."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_the_phases_add_up_to_the_whole_time() -> None:
    assert JobTimes.split(10.0, 2.0, 3.0) == (5.0, 2.0, 3.0)
    assert JobTimes.split(4.0, 2.0, 3.0) == (0.0, 1.0, 3.0)  # the model waited for it
    assert JobTimes.split(2.0, 2.0, 3.0) == (0.0, 0.0, 2.0)


def test_means_and_shares_are_of_the_last_minute(clock: list[float]) -> None:
    recent = RecentBatches()
    clock[0] += 10
    recent.add(6, 5.0, [JobTimes(1.0, 0.3, 5.0), JobTimes(3.0, 0.9, 5.0)])
    assert recent.utilisation == pytest.approx(0.5)
    assert recent.images_per_s == pytest.approx(0.1)
    assert recent.job_times == pytest.approx((2.0, 0.6, 5.0))
    assert recent.prepare_s == pytest.approx(0.2)
    clock[0] += WINDOW_S + 1
    assert recent.forget_old()
    assert recent.utilisation == recent.images_per_s == recent.prepare_s == 0.0
    assert recent.job_times == (0.0, 0.0, 0.0)
    assert not recent.forget_old()


def test_an_engine_tells_how_long_its_jobs_waited_and_ran() -> None:
    with running(predict_s=0.5, engine={"max_batch": 1}) as engine:
        first, second = item(1), item(2)
        for future in [engine.submit(first), engine.submit(second)]:
            future.result(30)
        assert first.times.predict >= 0.5
        assert second.times.queue >= 0.4
        assert second.times.prepare > 0
        assert engine.status.device == "CPU"
        assert engine.status.predict_ms >= 500
        assert engine.status.job_seconds["queue"] >= 0.4
        assert 0 < engine.status.utilisation <= 1
