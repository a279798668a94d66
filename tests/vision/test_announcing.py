"""A run goes on whatever becomes of its reports."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.stack import wait_for
from vision.runner import announcing
from vision.runner.announcing import Announcer, State
from vision.runner.progress import Report
from vision.service import Service, ServiceError


class ServiceStandIn(Service):
    """Takes reports, or answers each with an error of its own."""

    def __init__(self, *statuses: int) -> None:
        super().__init__("http://127.0.0.1:1")
        self._statuses, self.told = list(statuses), list[Mapping[str, Any]]()

    def report(self, run: str, about: Mapping[str, Any]) -> None:
        self.told.append({"id": run, **about})
        if self._statuses and (status := self._statuses.pop(0)) != 200:
            raise ServiceError("no", status)


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcing, "EVERY_S", 0.001)


def follow(service: ServiceStandIn, reports: int, *, is_waiting: bool = False) -> None:
    announcer = Announcer(service, "folders", "Pictures")
    with announcer.following(Report(5), lambda: is_waiting):
        wait_for("the reports", lambda: len(service.told) >= reports)
        announcer.end = State.DONE


def test_a_run_tells_how_far_it_is_and_how_it_ended() -> None:
    service = ServiceStandIn()
    follow(service, 2, is_waiting=True)
    assert len({told["id"] for told in service.told}) == 1
    first, *_, last = service.told
    assert (first["state"], last["state"]) == ("waiting", "done")
    assert {name: first[name] for name in ("total", "done", "failed", "per_hour", "left_s")} == {
        "total": 5, "done": 0, "failed": 0, "per_hour": None, "left_s": None,
    }  # fmt: skip


@pytest.mark.parametrize("status", [400, 401, 404, 405])
def test_a_service_that_is_older_or_refuses_is_told_no_more(status: int) -> None:
    service = ServiceStandIn(status)
    follow(service, 1)
    assert len(service.told) == 1


@pytest.mark.parametrize("status", [0, 429, 503])
def test_a_service_that_is_away_is_told_again(status: int) -> None:
    service = ServiceStandIn(status, status)
    follow(service, 4)
    assert service.told[-1]["state"] == "done"


def test_a_run_that_ends_by_a_fault_has_failed() -> None:
    service = ServiceStandIn()

    def fail() -> None:
        with Announcer(service, "folders", "Pictures").following(Report(5), lambda: False):
            wait_for("a report", lambda: service.told)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert service.told[-1]["state"] == "failed"


@pytest.mark.parametrize(("name", "shown"), [("x" * 300, "x" * 199 + "…"), ("odd \udcff", "odd ?")])
def test_long_names_are_cut_and_odd_ones_become_text(name: str, shown: str) -> None:
    service = ServiceStandIn()
    with Announcer(service, "folders", name).following(Report(1), lambda: False):
        wait_for("a report", lambda: service.told)
    assert {told["name"] for told in service.told} == {shown}
