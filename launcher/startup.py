"""Watch a starting stack until the API, Flower and all models are up."""

import contextlib
import os
import re
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import requests

from launcher.errors import StartFailed
from launcher.ports import client_host
from launcher.supervisord import flower_url
from shared.catalog import Catalog
from shared.families import OLLAMA
from shared.settings import Settings
from shared.vocabulary import WorkerState

API_SILENCE_S = 60
"""How long API or Flower may give no answer before the start has failed."""
WORKER_SILENCE_S = 120
"""The same for a worker, which has no heartbeat before it has imported Celery."""
TIMEOUT_S = 2
"""Of one request to the API or Flower."""
POLL_S = 0.3
QUEUES_TIMEOUT_S = 8
MAX_EXITS = 3
"""Exits of one program during the start that are taken for a lasting fault."""
NO_ANSWER = "the API does not answer"
_API, _FLOWER = "the API", "Flower"
"""Keys of :attr:`Startup._last_seen_at` beside the workers' names, which are models'."""


class Startup:
    """Observes a starting stack from outside: what answers, and which models are loaded."""

    def __init__(
        self,
        settings: Settings,
        names: set[str],
        folder: Path,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to measure silence now.

        Args:
            settings: of the stack.
            names: models that have a worker.
            folder: where the logs are.
            clock: monotonic time in seconds.
        """
        self._settings, self._names, self._folder, self._clock = settings, names, folder, clock
        self._base = f"http://{client_host(settings.host)}:{settings.port}"
        self._flower = flower_url(settings)
        self._states: dict[str, str] = {}
        self._api_fault = NO_ANSWER
        # Silence counts from the last answer: while models load the machine is busy, and single
        # answers may come late.
        self._last_seen_at = dict.fromkeys((_API, _FLOWER, *names), clock())
        self._session, self._flower_session = requests.Session(), requests.Session()
        for session in (self._session, self._flower_session):
            session.trust_env = False  # this machine is reached without a proxy
        if settings.api_keys:
            # As bytes: of text, the client would make Latin-1, and the API reads UTF-8.
            self._session.headers["Authorization"] = f"Bearer {settings.api_keys[0]}".encode()

    def wait(self, supervisor: "subprocess.Popen[bytes]") -> None:
        """Wait until API and Flower answer and each model is up or known not to be; print which.

        Raises:
            StartFailed: one of them does not come up, or supervisord ended.
        """
        while True:
            if supervisor.poll() is not None:
                raise StartFailed(f"the supervisor ended.\n{self._tail('supervisord')}")
            if self.poll():
                break
            time.sleep(POLL_S)
        self._show_queues()
        self._announce()

    def poll(self) -> bool:
        """Check everything once, print changed states, and return whether the start is over.

        Raises:
            StartFailed: a program ends again and again, or has been silent for too long.
        """
        self._check_exits()
        states = self._model_states()
        if states is None:
            self._check_silence(_API, API_SILENCE_S, self._api_fault, "api")
            return False
        self._last_seen_at[_API] = self._clock()
        for name in sorted(self._names):
            if state := states.get(name, ""):
                self._last_seen_at[name] = self._clock()
                self._print_change(name, state)
            else:
                fault = f"no worker for {name}"
                self._check_silence(name, WORKER_SILENCE_S, fault, f"worker-{name}")
        if not self._flower_answers():
            self._check_silence(_FLOWER, API_SILENCE_S, "Flower does not answer", "flower")
            return False
        self._last_seen_at[_FLOWER] = self._clock()
        return all(is_settled(name, self._states.get(name, "")) for name in self._names)

    def _announce(self) -> None:
        """Print what is up, where, and how to try it."""
        catalog, up = Catalog.load(self._settings.catalog), self._up()
        down = sorted(self._names.difference(up))
        but = f", but {'not all models are' if up else 'no model is'}" if down else ""
        not_up = "".join(f"\n  Not up   {n}: {self._states[n].partition(' ')[2]}" for n in down)
        keys = self._settings.api_keys
        key = "-H 'Authorization: Bearer KEY' " if keys else ""
        print(
            f"""
Vision Workers is up{but}.
  Page     {self._base}/   (open it in a browser)
  API      {self._base}/api/v1/vision   (documentation: {self._base}/docs)
  Flower   {self._flower}
  Models   {", ".join(f"{n} ({', '.join(catalog.get(n).tasks)})" for n in up) or "none"}{not_up}
  Logs     {os.path.relpath(self._folder)}/*.log

Try it{", with one of VISION_API_KEYS for KEY" if keys else ""}:
  curl {key}-F images=@tests/samples/cat.jpg {self._base}/api/v1/vision

Ctrl-C stops everything.
""",
            flush=True,
        )

    def _check_exits(self) -> None:
        ended = re.findall(r"exited: (\S+)", self._log())
        for name in set(ended):
            if ended.count(name) >= MAX_EXITS:
                raise StartFailed(f"{name} ends as soon as it starts.\n{self._tail(name)}")

    def _check_silence(self, name: str, limit_s: float, fault: str, log: str) -> None:
        if self._clock() - self._last_seen_at[name] > limit_s:
            raise StartFailed(f"{fault}.\n{self._tail(log)}")

    def _model_states(self) -> Mapping[str, str] | None:
        """Return ``state reason`` of each model with a worker here; ``None``: it is not told."""
        try:
            reply = self._session.get(f"{self._base}/api/v1/vision/models", timeout=TIMEOUT_S)
            said = reply.json()
        except (requests.RequestException, ValueError):
            self._api_fault = NO_ANSWER
            return None
        if not reply.ok:
            self._api_fault = f"the API answers only: {said['error']}"
            return None
        # Redis may have workers of other stacks, and of an earlier one that was killed.
        own = own_workers(self._log())
        return {
            model["name"]: state_of(worker)
            for model in said["models"]
            for worker in model["workers"]
            if worker["worker"] in own
        }

    def _up(self) -> list[str]:
        return [n for n, s in self._states.items() if WorkerState(s.partition(" ")[0]).is_up]

    def _show_queues(self) -> None:
        """Have Flower inspect the workers again: when it started they had no queues yet.

        Flower inspects only on request (https://github.com/mher/flower/issues/335), in the
        background and one inspection at a time, so this repeats its request until the queues are
        shown. Failing is harmless: only Flower's page "Broker" lacks them.
        """
        deadline, get = self._clock() + QUEUES_TIMEOUT_S, self._flower_session.get
        catalog = Catalog.load(self._settings.catalog)
        queues = [catalog.get(name).queue for name in self._up()]
        with contextlib.suppress(requests.RequestException):
            while self._clock() < deadline:
                shown = get(f"{self._flower}/broker", timeout=TIMEOUT_S).text
                if all(queue in shown for queue in queues):
                    return
                get(f"{self._flower}/workers?refresh=1", timeout=TIMEOUT_S)
                time.sleep(POLL_S)

    def _flower_answers(self) -> bool:
        try:
            return self._flower_session.get(f"{self._flower}/healthcheck", timeout=TIMEOUT_S).ok
        except requests.RequestException:
            return False

    def _print_change(self, name: str, state: str) -> None:
        """Print a model's state when it differs from the last one."""
        if self._states.get(name) != state:
            self._states[name] = state
            print(f"{name}: {state}", flush=True)

    def _log(self) -> str:
        log = self._folder / "supervisord.log"
        return log.read_text() if log.is_file() else ""

    def _tail(self, name: str) -> str:
        return tail(self._folder / f"{name}.log")


def own_workers(log: str) -> set[str]:
    """Return the names of the workers that supervisord, whose log this is, has started last."""
    started = dict(re.findall(r"spawned: 'worker-(\S+)' with pid (\d+)", log))
    return {f"{model}-{pid}@{socket.gethostname()}" for model, pid in started.items()}


def state_of(worker: Mapping[str, Any]) -> str:
    """Return a worker's ``state reason``."""
    return f"{worker['state']} {worker['reason']}".strip()


def is_settled(name: str, state: str) -> bool:
    """Return whether a model's ``state reason`` is final for the start: up, failed, or away."""
    word, _, reason = state.partition(" ")
    if name == OLLAMA and reason:  # no server answers, and nobody knows when one will
        return True
    return bool(word) and (WorkerState(word).is_up or word == WorkerState.FAILED)


def tail(path: Path, lines: int = 15) -> str:
    """Return the last lines of a log, for an error message."""
    if not path.is_file():
        return f"(no {path.name})"
    text = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join([f"--- end of {path}", *text[-lines:]])
