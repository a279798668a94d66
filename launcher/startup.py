"""What ``make run`` does between starting the processes and saying that all is up: watch them."""

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import requests

from shared.catalog import Catalog
from shared.settings import Settings
from shared.vocabulary import WorkerState

API_UP_S = 60
WORKER_UP_S = 120
ASK_S = 2
POLL_S = 0.3
QUEUES_S = 8
FAILING = 3
"""Ends of one program, while the stack starts, that are no accident."""
_API, _FLOWER = "the API", "Flower"
"""Of whom something is heard beside the workers, which go by their models' names."""


class StartFailed(Exception):
    """The stack cannot start; the message says why."""


class Startup:
    """A stack that is starting, as seen from outside: what answers, which models are loaded."""

    def __init__(
        self,
        settings: Settings,
        names: set[str],
        folder: Path,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Count from now.

        Args:
            settings: of the stack.
            names: workers that it has, by model.
            folder: where the logs are.
            clock: seconds that go by.
        """
        self._settings, self._names, self._folder, self._clock = settings, names, folder, clock
        self._base = f"http://{reachable(settings.host)}:{settings.port}"
        self._flower = f"http://{reachable('')}:{settings.flower_port}"
        self._told: dict[str, str] = {}
        # Silence counts from the last sign of life: loading models keep the machine busy, and one
        # late answer is nothing to give up for.
        self._heard_at = dict.fromkeys((_API, _FLOWER, *names), clock())
        self._session, self._flower_session = requests.Session(), requests.Session()
        self._session.trust_env = self._flower_session.trust_env = False  # no proxies to ourselves
        if settings.api_keys:
            self._session.headers["Authorization"] = f"Bearer {settings.api_keys[0]}"

    def wait(self, supervisor: "subprocess.Popen[bytes]") -> None:
        """Wait until API and Flower answer and each model is ready or failed; say what is up.

        Raises:
            StartFailed: one of them does not come up, or supervisord ended.
        """
        while True:
            if supervisor.poll() is not None:
                raise StartFailed(f"the supervisor ended.\n{self._tail('supervisord')}")
            if self.look():
                break
            time.sleep(POLL_S)
        self._show_queues()
        self._announce()

    def look(self) -> bool:
        """Look at everything once, tell news, and say whether all is up.

        Raises:
            StartFailed: a program ends again and again, or nothing was heard of it for too long.
        """
        self._check_not_failing()
        states = self._ask_models()
        if states is None:
            self._check_heard(_API, API_UP_S, "the API does not answer", "api")
            return False
        self._heard_at[_API] = self._clock()
        for name in sorted(self._names):
            if state := states.get(name, ""):
                self._heard_at[name] = self._clock()
                self._tell(name, state)
            else:
                self._check_heard(name, WORKER_UP_S, f"no worker for {name}", f"worker-{name}")
        if not self._flower_answers():
            self._check_heard(_FLOWER, API_UP_S, "Flower does not answer", "flower")
            return False
        self._heard_at[_FLOWER] = self._clock()
        return all(is_settled(self._told.get(name, "")) for name in self._names)

    def _announce(self) -> None:
        """Say what is up, where, and how to try it."""
        catalog, up = Catalog.load(self._settings.catalog), self._up()
        keys = self._settings.api_keys
        key = "-H 'Authorization: Bearer KEY' " if keys else ""
        say(
            f"""
Vision Workers is up{"" if up else ", but no model is"}.
  API      {self._base}/api/v1/vision   (documentation: {self._base}/docs)
  Flower   {self._flower}
  Models   {", ".join(f"{n} ({', '.join(catalog.get(n).tasks)})" for n in up) or "none"}
  Logs     {os.path.relpath(self._folder)}/*.log

Try it{", with one of VISION_API_KEYS for KEY" if keys else ""}:
  curl {key}-F images=@tests/samples/cat.jpg {self._base}/api/v1/vision

Ctrl-C stops everything.
"""
        )

    def _check_not_failing(self) -> None:
        log = self._folder / "supervisord.log"
        ended = re.findall(r"exited: (\S+)", log.read_text()) if log.is_file() else []
        for name in set(ended):
            if ended.count(name) >= FAILING:
                raise StartFailed(f"{name} ends as soon as it starts.\n{self._tail(name)}")

    def _check_heard(self, name: str, patience_s: float, fault: str, log: str) -> None:
        if self._clock() - self._heard_at[name] > patience_s:
            raise StartFailed(f"{fault}.\n{self._tail(log)}")

    def _ask_models(self) -> Mapping[str, str] | None:
        """Return ``state reason`` of each model with a worker; ``None`` while no API answers."""
        try:
            reply = self._session.get(f"{self._base}/api/v1/vision/models", timeout=ASK_S)
            reply.raise_for_status()
            models = reply.json()["models"]
        except (requests.RequestException, ValueError):
            return None
        return {m["name"]: state_of(m["workers"][0]) for m in models if m["workers"]}

    def _up(self) -> list[str]:
        return [n for n, s in self._told.items() if s.partition(" ")[0] != WorkerState.FAILED]

    def _show_queues(self) -> None:
        """Have Flower ask the workers for their queues: when it started they had none yet.

        It asks again only when it is told to (https://github.com/mher/flower/issues/335), in the
        background, and not while it is still asking; nothing depends on it.
        """
        deadline, ask = self._clock() + QUEUES_S, self._flower_session.get
        catalog = Catalog.load(self._settings.catalog)
        queues = [catalog.get(name).queue for name in self._up()]
        with contextlib.suppress(requests.RequestException):
            while self._clock() < deadline:
                shown = ask(f"{self._flower}/broker", timeout=ASK_S).text
                if all(queue in shown for queue in queues):
                    return
                ask(f"{self._flower}/workers?refresh=1", timeout=ASK_S)
                time.sleep(POLL_S)

    def _flower_answers(self) -> bool:
        try:
            return self._flower_session.get(f"{self._flower}/healthcheck", timeout=ASK_S).ok
        except requests.RequestException:
            return False

    def _tell(self, name: str, state: str) -> None:
        """Say a model's state when it is news."""
        if self._told.get(name) != state:
            self._told[name] = state
            say(f"{name}: {state}")

    def _tail(self, name: str) -> str:
        return tail(self._folder / f"{name}.log")


def state_of(worker: Mapping[str, Any]) -> str:
    """Return a worker's ``state reason``; it is not up before it takes requests."""
    if WorkerState(worker["state"]).is_up and not worker["consuming"]:
        return WorkerState.LOADING
    return f"{worker['state']} {worker['reason']}".strip()


def is_settled(state: str) -> bool:
    """Say whether a model's ``state reason`` will not change by itself."""
    word = state.partition(" ")[0]
    return bool(word) and (WorkerState(word).is_up or word == WorkerState.FAILED)


def reachable(host: str) -> str:
    """Return an address under which this machine reaches a server that listens on ``host``."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104
    return f"[{host}]" if ":" in host else host


def tail(path: Path, lines: int = 15) -> str:
    """Return the last lines of a log, for an error message."""
    if not path.is_file():
        return f"(no {path.name})"
    text = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join([f"--- end of {path}", *text[-lines:]])


def say(text: str) -> None:
    """Tell the person at the terminal."""
    print(text, flush=True)
