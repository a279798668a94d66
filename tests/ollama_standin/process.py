"""A stand-in in a process of its own, which can be killed and started again."""

import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

from launcher.ports import free_port

ROOT = Path(__file__).resolve().parent.parent.parent


class OllamaProcess:
    """A server for the time of a ``with`` block, which :meth:`kill` ends without warning."""

    def __init__(self, models: tuple[str, ...] = ("standin",), **knobs: Any) -> None:
        self._models, self._knobs = models, knobs
        self._process: subprocess.Popen[str] | None = None
        self._port = free_port()
        self.url = ""

    def start(self) -> None:
        """Start the process, on the same port as before."""
        argv = [sys.executable, "-m", "tests.ollama_standin", "--port", str(self._port)]
        self._process = subprocess.Popen(
            [*argv, "--models", ",".join(self._models)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        assert self.url, "the stand-in did not start"
        self.set(**self._knobs)

    def set(self, **knobs: Any) -> None:
        """Set knobs."""
        requests.post(f"{self.url}/standin", json=knobs, timeout=10).raise_for_status()

    def state(self) -> dict[str, Any]:
        """Return counts, knobs and requests."""
        state: dict[str, Any] = requests.get(f"{self.url}/standin", timeout=10).json()
        return state

    def kill(self) -> None:
        """Kill the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
