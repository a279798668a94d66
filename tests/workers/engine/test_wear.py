"""When a model process is replaced, when a worker gives up, and what its numbers say."""

import time

import pytest

from shared.messages import NO_TIME
from shared.model_spec import EngineOptions
from shared.options import Options
from shared.units import MEGA
from tests.engines import item
from workers.engine.batching import BatchQueue
from workers.engine.faults import FIRST_PAUSE_S, LONGEST_PAUSE_S, LONGEST_ROW, FailureBackoff
from workers.engine.sizing import BatchSizer
from workers.engine.status import StatusTracker
from workers.engine.supervisor import wants_standby
from workers.engine.times import WINDOW_S
from workers.engine.wear import BASELINE_BATCHES, BatchSize, RestartReason, WearMonitor
from workers.model.memory import Memory


@pytest.mark.parametrize("where", ["used", "resident"])
def test_growth_of_the_devices_or_the_hosts_memory_is_wear(where: str) -> None:
    wear = WearMonitor(EngineOptions(recycle_growth_mb=100))
    for n in range(BASELINE_BATCHES + 3):
        assert wear.restart_reason() is None, n
        wear.record("kind", BatchSize(1), 0.1, Memory(**{where: n * 30 * MEGA}))
    for n in (9, 10):
        wear.record("kind", BatchSize(1), 0.1, Memory(**{where: n * 30 * MEGA}))
    assert wear.restart_reason() == RestartReason.MEMORY


def test_only_batches_of_one_kind_and_size_are_compared() -> None:
    wear = WearMonitor(EngineOptions(slow_factor=2, slow_batches=3))
    for kind, images, seconds in (("caption", 1, 0.1), ("caption", 4, 0.4), ("labels", 1, 1.0)):
        for _ in range(20):
            wear.record(kind, BatchSize(images), seconds, Memory())
    assert wear.restart_reason() is None
    for _ in range(3):
        wear.record("labels", BatchSize(1), 2.1, Memory())
    assert wear.restart_reason() == RestartReason.SLOW


def test_a_few_slow_batches_are_no_wear() -> None:
    wear = WearMonitor(EngineOptions(slow_factor=2, slow_batches=3))
    for seconds in [0.1] * BASELINE_BATCHES + [9.0] * 2:
        wear.record("caption", BatchSize(1), seconds, Memory())
        assert wear.restart_reason() is None
    wear.record("caption", BatchSize(1), 9.0, Memory())
    assert wear.restart_reason() == RestartReason.SLOW


def test_a_process_is_replaced_after_as_many_images_as_the_row_says() -> None:
    wear = WearMonitor(EngineOptions(recycle_images=10))
    wear.record("caption", BatchSize(8), 0.1, Memory())
    assert wear.restart_reason() is None
    wear.record("caption", BatchSize(2), 0.1, Memory())
    assert wear.restart_reason() == RestartReason.COUNT


def test_longer_answers_are_not_slower() -> None:
    wear = WearMonitor(EngineOptions(slow_factor=3, slow_batches=20))
    for steps in [10] * 10 + [32] * 40:
        wear.record("caption", BatchSize(4, steps), 0.01 * steps, Memory())
        assert wear.restart_reason() is None
    for _ in range(20):
        wear.record("caption", BatchSize(4, 33), 0.04 * 33, Memory())
    assert wear.restart_reason() == RestartReason.SLOW


def test_larger_batches_and_longer_answers_are_no_leak() -> None:
    wear = WearMonitor(EngineOptions(recycle_growth_mb=100))
    sizes = [BatchSize(images, 16) for images in (1, 2, 4, 8, 16)] + [BatchSize(16, 64)]
    for size in sizes:
        for _ in range(20):
            memory = Memory(used=50 * MEGA * size.images + MEGA * size.steps)
            wear.record("caption", size, 0.1, memory)
            assert wear.restart_reason() is None
    for _ in range(20):
        wear.record("caption", BatchSize(1, 1), 0.1, Memory(used=1000 * MEGA))
    assert wear.restart_reason() == RestartReason.MEMORY


def test_a_batch_half_as_large_again_is_no_leak() -> None:
    wear = WearMonitor(EngineOptions(recycle_growth_mb=100))
    for images in [32] * 10 + [48] * 10 + [63] * 10:
        wear.record("caption", BatchSize(images), 0.1, Memory(used=10 * MEGA * images))
        assert wear.restart_reason() is None


@pytest.mark.parametrize(
    ("option", "free", "wanted"),
    [("on", 0, "yes"), ("off", 99, "no"), ("auto", 16, "yes"), ("auto", 14, "no")],
)
def test_a_standby_is_loaded_where_memory_allows(option: str, free: int, wanted: str) -> None:
    wants = wants_standby(option, Memory(used=10 * MEGA, free=free * MEGA))
    assert wants == (wanted == "yes")


def test_pauses_double_until_a_batch_succeeds() -> None:
    backoff = FailureBackoff(most=2)
    pauses = []
    for _ in range(3):
        assert [backoff.record_failure(), backoff.record_failure()] == [False, True]
        pauses.append(backoff.begin_pause())
        backoff.loaded()  # a load alone is no success
    assert pauses == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S]
    backoff.succeeded()
    assert backoff.begin_pause() == FIRST_PAUSE_S


def test_no_pause_is_endless() -> None:
    backoff = FailureBackoff(most=2)
    assert max(backoff.begin_pause() for _ in range(20)) == LONGEST_PAUSE_S


def test_only_very_many_deaths_in_a_row_mean_a_broken_model_without_a_probe() -> None:
    backoff = FailureBackoff(most=2)
    for _ in range(LONGEST_ROW):
        assert not backoff.exhausted
        backoff.record_failure()
    assert backoff.exhausted
    backoff.succeeded()
    assert not backoff.exhausted


def test_a_pause_is_as_long_as_the_failure_asks_for_and_the_next_one_is_not() -> None:
    backoff = FailureBackoff(most=2)
    assert backoff.begin_pause(at_least_s=3600.0) == 3600.0
    assert backoff.begin_pause(at_least_s=0.0) == 2 * FIRST_PAUSE_S


def test_the_rate_falls_when_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    seen = StatusTracker(BatchSizer(EngineOptions()))
    seen.record_batch(6, 1.0, [NO_TIME])
    assert seen.status.images_per_s == pytest.approx(6 / WINDOW_S)
    now += WINDOW_S + 1
    seen.tick()
    assert seen.status.images_per_s == 0


def test_a_seeded_job_is_run_alone_for_others_would_change_its_answer() -> None:
    pending = BatchQueue()
    seeded, plain = Options(seed=1, temperature=1.0), Options(temperature=1.0)
    for options in (seeded, seeded, plain, plain):
        pending.add(item(1, options=options))
    taken = []
    while batch := pending.next_batch(8):
        pending.take(batch)
        taken.append(len(batch))
    assert taken == [1, 1, 2]
