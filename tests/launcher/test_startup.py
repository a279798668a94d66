"""Waiting for a stack to start, with a fake server in place of the stack, and a fake clock."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from launcher import startup
from launcher.errors import StartFailed
from launcher.startup import Startup
from shared.families import OLLAMA
from shared.settings import Settings

NAME = "efficientnet-lite0"
PID = 4711
KEY = "schlüssel-für-5-€"


class Site(ThreadingHTTPServer):
    """API and Flower in one server; without ``models`` both answer 500."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Page)
        self.models: dict[str, str] | None = {}
        self.keys = set[bytes]()
        self.elsewhere = list[str]()
        """States of workers of the same Redis that another stack has started."""
        self.flower, self.reason = 200, ""
        self.error = ""
        """What the API says when it does not list the models; empty: nothing that can be read."""


class Page(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        models = self.server.models
        if key := self.headers["Authorization"]:
            self.server.keys.add(key.encode("latin-1"))  # the bytes that came
        status = self.server.flower if self.path == "/healthcheck" else 200 if models else 500
        self.send_response(500 if models is None else status)
        self.end_headers()
        others = [
            {"state": state, "reason": "", "worker": f"{NAME}-{PID}@elsewhere"}
            for state in self.server.elsewhere
        ]
        own = {"reason": self.server.reason, "worker": f"{NAME}-{PID}@{socket.gethostname()}"}
        rows = [
            {"name": name, "workers": [*others, *([{"state": state, **own}] if state else [])]}
            for name, state in (models or {}).items()
        ]
        said = {"error": self.server.error} if models is None else {"models": rows}
        self.wfile.write(json.dumps(said).encode() if said != {"error": ""} else b"")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Log nothing."""


class Watched:
    """A starting stack, and a clock that tests set."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site, self.now = site, 0.0
        port, keys = site.server_port, (KEY,)
        self._folder = folder
        self._settings = Settings(port=port, flower_port=port, models=(NAME,), api_keys=keys)
        log = f"2026-11-28 05:40:28,000 INFO spawned: 'worker-{NAME}' with pid {PID}\n"
        (folder / "supervisord.log").write_text(log)
        self.follow(NAME)

    def follow(self, name: str) -> None:
        """Wait for this model from now on."""
        self.name = name
        self.startup = Startup(self._settings, {name}, self._folder, clock=lambda: self.now)

    def poll(self, at_s: float, state: str | None, *, answers: bool = True) -> bool:
        self.now = at_s
        self.site.models = {self.name: state or ""} if answers else None
        return self.startup.poll()


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with Site() as site:
        serving = threading.Thread(target=site.serve_forever, args=(0.02,))
        serving.start()
        yield Watched(site, tmp_path)
        site.shutdown()
        serving.join()


def test_a_slow_start_survives_one_missing_answer(watched: Watched) -> None:
    late = startup.API_SILENCE_S + startup.WORKER_SILENCE_S

    assert not watched.poll(late - 1, "loading")
    assert not watched.poll(late, None, answers=False)
    assert watched.poll(late + 1, "ready")


def test_a_slow_start_survives_one_missing_heartbeat(watched: Watched) -> None:
    late = startup.WORKER_SILENCE_S + 1

    assert not watched.poll(late - 1, "loading")
    assert not watched.poll(late, None)
    assert watched.poll(late + 1, "ready")


def test_an_api_that_stays_silent_fails_the_start(watched: Watched) -> None:
    assert not watched.poll(startup.API_SILENCE_S, "loading")
    assert not watched.poll(2 * startup.API_SILENCE_S, None, answers=False)
    with pytest.raises(StartFailed, match="the API does not answer"):
        watched.poll(2 * startup.API_SILENCE_S + 1, None, answers=False)


def test_what_the_api_says_in_place_of_the_models_is_the_reason(watched: Watched) -> None:
    watched.site.error = "Redis refuses: CROSSSLOT"
    assert not watched.poll(1, None, answers=False)
    with pytest.raises(StartFailed, match=r"^the API answers only: Redis refuses: CROSSSLOT"):
        watched.poll(startup.API_SILENCE_S + 1, None, answers=False)


def test_a_worker_that_never_appears_fails_the_start(watched: Watched) -> None:
    assert not watched.poll(startup.WORKER_SILENCE_S, None)
    with pytest.raises(StartFailed, match=f"no worker for {NAME}"):
        watched.poll(startup.WORKER_SILENCE_S + 1, None)


def test_it_is_not_up_before_flower_answers(watched: Watched) -> None:
    watched.site.flower = 503
    assert not watched.poll(1, "ready")
    with pytest.raises(StartFailed, match="Flower does not answer"):
        watched.poll(startup.API_SILENCE_S + 1, "ready")
    watched.site.flower = 200
    assert watched.poll(startup.API_SILENCE_S + 1, "ready")


def test_models_are_waited_for_whatever_they_do_meanwhile(watched: Watched) -> None:
    watched.site.reason = "asking for own/tiny"
    assert not watched.poll(1, "downloading")
    assert not watched.poll(2, "loading")


def test_models_on_servers_that_are_away_are_not_waited_for(watched: Watched) -> None:
    watched.follow(OLLAMA)
    assert not watched.poll(1, "loading")  # no server has been asked
    watched.site.reason = "no Ollama server answers: http://nas:11434: Connection refused"
    assert watched.poll(2, "loading")


@pytest.mark.parametrize("state", ["ready", "failed"])
def test_what_workers_of_another_stack_do_says_nothing_about_this_one(
    watched: Watched, state: str
) -> None:
    watched.site.elsewhere = [state]
    assert not watched.poll(1, None)
    assert not watched.poll(2, "loading")
    with pytest.raises(StartFailed, match=f"no worker for {NAME}"):
        watched.poll(startup.WORKER_SILENCE_S + 3, None)


def test_the_api_is_asked_with_a_key_as_it_reads_keys(watched: Watched) -> None:
    assert watched.poll(1, "ready")
    assert watched.site.keys == {f"Bearer {KEY}".encode()}
