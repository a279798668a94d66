"""What a run makes of each error: who is waited for, which photo has failed, when a run ends."""

import json
from http.server import BaseHTTPRequestHandler

import pytest

from tests.standin_server import StandinServer
from vision.runner import asking
from vision.runner.asking import TRIES, Asker, Failed, GaveUp
from vision.runner.gate import Gate
from vision.runner.work import Answer, Question
from vision.service import Service

QUESTION = Question("caption", "fake", "7")
ANSWER = json.dumps(
    {"model": {"name": "fake", "version": "7"}, "result": {"caption": {"text": "a cat"}}}
)
PAGE = "<html><h1>nginx</h1></html>"
MOST = 8


def error(status: int, kind: str | None = None) -> tuple[int, str]:
    """An error as the service gives it."""
    return status, json.dumps({"id": "1", "code": status, "error": "No.", "kind": kind})


class ServiceStandIn(StandinServer):
    """Gives the same reply some times, then answers."""

    def __init__(self, reply: tuple[int, str], times: int) -> None:
        super().__init__(_Handler)
        self.reply, self.times, self.asked = reply, times, 0


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        standin = self.server.standin  # type: ignore[attr-defined]
        self.rfile.read(int(self.headers["Content-Length"]))
        standin.asked += 1
        status, body = standin.reply if standin.asked <= standin.times else (200, ANSWER)
        self.send_response(status)
        self.send_header("Retry-After", "0")
        self.send_header("X-Worker-Host", "tower")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Lively(Gate):
    """The gate of a run whose other questions are answered all the time."""

    @property
    def silence_s(self) -> float:
        """None."""
        return 0.0


@pytest.fixture
def gate() -> Gate:
    return Gate(MOST)


def ask(gate: Gate, reply: tuple[int, str], times: int = TRIES + 2) -> Answer:
    with ServiceStandIn(reply, times) as standin:
        return Asker(Service(standin.url), gate, patience_s=600).ask(QUESTION, b"photo", "key")


@pytest.mark.parametrize(
    "reply",
    [
        error(429),
        error(503),
        error(504),
        error(408),
        (502, PAGE),
        (503, ""),
        (404, PAGE),
        (200, PAGE),
    ],
    ids=["full", "unserved", "late", "slow", "proxy-502", "proxy-503", "proxy-404", "other-page"],
)
def test_what_is_no_fault_of_the_photo_is_waited_out(gate: Gate, reply: tuple[int, str]) -> None:
    assert ask(gate, reply).result == {"text": "a cat"}


@pytest.mark.parametrize("status", [429, 504])
def test_a_service_with_too_much_to_do_is_asked_less_at_once(gate: Gate, status: int) -> None:
    ask(gate, error(status), times=1)
    assert gate.limit == MOST // 2


def test_while_a_service_is_away_all_wait_and_that_is_told() -> None:
    said = list[str]()
    gate = Gate(MOST, tell=said.append)
    ask(gate, error(503), times=1)
    assert said == ["Waiting: No."]
    assert gate.limit == MOST


@pytest.mark.parametrize("status", [500, 502])
def test_a_model_is_asked_a_few_times_before_a_photo_has_failed(gate: Gate, status: int) -> None:
    assert ask(gate, error(status), times=TRIES - 1).result == {"text": "a cat"}
    with pytest.raises(Failed, match=r"No\."):
        ask(gate, error(status), times=TRIES)


@pytest.mark.parametrize(
    "reply", [error(400), error(413), error(422), (413, PAGE)],
    ids=["refused", "large", "unreadable", "large-for-a-proxy"],
)  # fmt: skip
def test_a_photo_that_cannot_be_used_has_failed_at_once(gate: Gate, reply: tuple[int, str]) -> None:
    with pytest.raises(Failed):
        ask(gate, reply, times=1)


@pytest.mark.parametrize(
    "reply", [error(401), error(403), error(404), (401, PAGE), (403, PAGE)],
    ids=["key", "forbidden", "model", "password-of-a-proxy", "forbidden-by-a-proxy"],
)  # fmt: skip
def test_what_is_the_same_for_every_photo_ends_the_run(gate: Gate, reply: tuple[int, str]) -> None:
    with pytest.raises(GaveUp):
        ask(gate, reply, times=1)


def test_a_photo_that_is_late_for_hours_while_others_are_not_has_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(asking, "LATE_S", 0.0)
    with pytest.raises(Failed, match=r"No\. It was asked 1 times in 0 hours\."):
        ask(Lively(MOST), error(504))


def test_a_photo_that_is_late_a_few_times_while_others_are_not_is_asked_about_again() -> None:
    assert ask(Lively(MOST), error(504), times=5).result == {"text": "a cat"}


def test_a_photo_that_is_late_as_all_are_is_asked_about_on_and_on(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "LATE_S", 0.0)
    assert ask(gate, error(504), times=9).result == {"text": "a cat"}


def test_that_a_model_has_nothing_to_say_is_an_answer_of_its_machine(gate: Gate) -> None:
    answer = ask(gate, error(500, kind="NothingFound"))
    assert (answer.result, answer.host) == (None, "tower")
