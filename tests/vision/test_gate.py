"""How many requests of a run are in flight, and in which hours."""

import threading
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from tests.stack import wait_for
from vision.runner import gate as gates
from vision.runner.gate import Gate, Stopped
from vision.runner.window import Window


def test_a_gate_gives_no_more_turns_than_its_limit_and_follows_it() -> None:
    gate, inside = Gate(2), threading.Semaphore(0)
    leave = threading.Event()

    def go_in() -> None:
        with gate.turn():
            inside.release()
            leave.wait()

    threads = [threading.Thread(target=go_in) for _ in range(4)]
    for thread in threads:
        thread.start()
    inside.acquire()
    inside.acquire()
    assert not inside.acquire(blocking=False)
    gate.allow(3)
    inside.acquire()
    leave.set()
    for thread in threads:
        thread.join()


def test_a_refusal_halves_the_limit_once_and_answers_raise_it_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate = Gate(8)
    gate.refused(time.monotonic())
    monkeypatch.setattr(gates, "HALVING_S", 3600.0)
    gate.refused(time.monotonic())  # at the same time: the same
    assert gate.limit == 4
    for _ in range(40):
        gate.answered()
    assert gate.limit == 8


def test_requests_that_were_under_way_when_the_limit_was_halved_do_not_halve_it_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gates, "HALVING_S", 0.0)
    gate, sent_at = Gate(8), time.monotonic()
    for _ in range(3):
        gate.refused(sent_at)
    assert gate.limit == 4
    gate.refused(time.monotonic())
    assert gate.limit == 2


def test_however_often_the_service_is_full_one_may_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "HALVING_S", 0.0)
    gate = Gate(8)
    for _ in range(9):
        gate.refused(time.monotonic())
    assert gate.limit == 1


def test_when_workers_leave_or_come_the_limit_follows_at_once() -> None:
    gate = Gate(8)
    gate.allow(3)
    assert gate.limit == 3
    gate.allow(5)
    assert gate.limit == 5


def test_what_is_waited_for_is_told_once_between_two_answers() -> None:
    said = list[str]()
    gate = Gate(2, tell=said.append)
    for why in ("It is away.", "It is away.", "It starts."):
        gate.pause(0, why)
    gate.answered()
    gate.pause(0, "It is away.")
    assert said == ["Waiting: It is away.", "Waiting: It starts.", "Waiting: It is away."]


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    gate = Gate(2)
    gate.pause(3600, "It is away.")
    gate.pause(0, "It is away.")
    assert gate.is_closed


def test_who_waits_at_a_gate_that_is_stopped_goes_home() -> None:
    gate, stopped = Gate(1), list[bool]()
    gate.pause(3600, "Nobody serves.")

    def go_in() -> None:
        try:
            with gate.turn():
                stopped.append(False)
        except Stopped:
            stopped.append(True)

    thread = threading.Thread(target=go_in)
    thread.start()
    gate.stop()
    thread.join()
    assert stopped == [True]


def at(hour: int, minute: int = 0, day: int = 1) -> datetime:
    return datetime(2026, 1, day, hour, minute, tzinfo=UTC)


def test_hours_of_a_night_reach_over_midnight() -> None:
    night = Window.parse("22:00-07:00")
    assert night.opens(at(21)) == at(22)
    assert [night.opens(at(*time)) for time in [(22, 0), (6, 59)]] == [at(22), at(6, 59)]
    assert night.opens(at(7)) == at(22)
    assert Window.parse("8:00 - 17:30").opens(at(18)) == at(8, day=2)
    # Ten hours of work: nine in the first night, one in the second.
    assert night.finish(at(12), timedelta(hours=10)) == at(23, day=2)
    assert night.finish(at(12), timedelta(hours=9)) == at(7, day=2)


@pytest.mark.parametrize("text", ["at night", "25:00-07:00", "22:00-22:00", "22:00"])
def test_hours_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="as 22:00-07:00"):
        Window.parse(text)


def test_a_gate_gives_turns_in_its_hours_only_and_tells_it_once() -> None:
    now, said, inside = at(21, 59), list[str](), threading.Event()
    closed = threading.Event()

    def tell(what: str) -> None:
        said.append(what)
        closed.set()

    gate = Gate(2, Window.parse("22:00-07:00"), tell=tell, clock=lambda: now)

    def go_in() -> None:
        with gate.turn():
            inside.set()

    thread = threading.Thread(target=go_in)
    thread.start()
    assert closed.wait(60)
    gate.allow(3)  # whatever wakes it
    assert not inside.is_set()
    now = at(22)
    gate.allow(4)
    thread.join()
    assert inside.is_set()
    assert said == ["Asking between 22:00-07:00 only: waiting until 22:00."]


def test_the_clock_is_looked_at_now_and_then_and_closed_hours_are_no_silence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The clock may be set, or the machine sleep."""
    now, seconds, inside, closed = at(12), 1000.0, threading.Event(), threading.Event()
    monkeypatch.setattr(gates, "LOOK_S", 0.01)
    monkeypatch.setattr(gates, "time", SimpleNamespace(monotonic=lambda: seconds))
    window = Window.parse("22:00-07:00")
    gate = Gate(2, window, tell=lambda _: closed.set(), clock=lambda: now)

    def go_in() -> None:
        with gate.turn():
            inside.set()

    threading.Thread(target=go_in, daemon=True).start()
    assert closed.wait(60)
    seconds += 10 * 3600
    wait_for("a look at the clock", lambda: gate.silence_s == 0)
    now = at(22)
    wait_for("a turn", inside.is_set)
