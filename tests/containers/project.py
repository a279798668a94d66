"""compose.yaml as a separate project, controlled with a compose command alone."""

import json
import os
import re
import shlex
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import requests

from launcher.ports import LOOPBACK, try_to_bind
from tests.conftest import data_url
from tests.stack import API, ROOT, wait_for

COMMAND = shlex.split(os.environ.get("COMPOSE_COMMAND", "docker compose"))
KEY = "key-of-the-tests"
FLOWER_AUTH = ("operator", "password-of-the-tests")
UNREACHABLE = "http://127.0.0.1:9"
"""An Ollama server that does not exist: port 9 of the worker's own container."""
BUILD_VARIABLES = {"PYTHON_IMAGE", "TORCH_INDEX"}
"""Variables that the machine running the tests may need for building images."""
SERVICES = ("redis", "api", "worker-labels", "worker-nsfw", "worker-captions", "flower")
FIND_PROCESSES = (
    "for d in /proc/[0-9]*; do grep -qsz {word} $d/cmdline && echo ${{d#/proc/}}; done; true"
)
"""Prints the ids of processes with ``word`` in their command line, whose separator is NUL."""


def engine_fault() -> str:
    """Return why no containers can be run here; empty if they can."""
    try:
        done = subprocess.run(
            [*COMMAND, "ls"], cwd=ROOT, capture_output=True, check=False, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired) as err:
        return f"no compose command: {err}"
    return f"no container engine: {done.stderr.strip()[-200:]}" if done.returncode else ""


class Project:
    """The stack of compose.yaml under another project name, with the tests' overlay."""

    def __init__(self, name: str, *files: str, **variables: str) -> None:
        self.name = name
        self._files = files or ("compose.yaml", "tests/containers/compose.test.yaml")
        # Only the tests' settings: none of the environment's, and no .env file.
        text = "\n".join(path.read_text() for path in ROOT.glob("compose*.yaml"))
        ours = set(re.findall(r"\$\{(\w+)", text)) - BUILD_VARIABLES
        self.variables = variables
        self._environment = {
            key: value
            for key, value in os.environ.items()
            if key not in ours and not key.startswith(("VISION_", "COMPOSE_", "OLLAMA_", "OTEL_"))
        } | variables
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {KEY}"

    def changed(self, **variables: str) -> "Project":
        """Return the same project with other variables."""
        return Project(self.name, *self._files, **self.variables, **variables)

    def compose(self, *arguments: str, check: bool = True, merge: bool = False) -> str:
        """Run a compose command; return its standard output, with ``merge`` also its errors."""
        files = [part for file in self._files for part in ("-f", file)]
        done = subprocess.run(
            [*COMMAND, "--env-file", os.devnull, "-p", self.name, *files, *arguments],
            cwd=ROOT, env=self._environment, capture_output=True, check=False, text=True,
            timeout=900,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{arguments}: {done.stderr[-3000:]}"
        return done.stdout + (done.stderr if merge else "")

    def up(self, *arguments: str) -> None:
        """Start services and wait until they are healthy."""
        self.compose("up", "-d", "--no-build", "--wait", "--wait-timeout", "240", *arguments)

    def containers(self, *services: str) -> list[dict[str, Any]]:
        lines = self.compose("ps", "-a", "--format", "json", *services).splitlines()
        return [json.loads(line) for line in lines]

    def sh(self, service: str, script: str, index: int = 1, *, check: bool = True) -> str:
        """Run a shell script in a container."""
        index_option = f"--index={index}"
        return self.compose("exec", "-T", index_option, service, "sh", "-c", script, check=check)

    def signal(self, service: str, signal: str, word: str, index: int = 1) -> None:
        """Signal the oldest process of a container whose command line has ``word``."""
        pids = self.sh(service, FIND_PROCESSES.format(word=word), index)
        oldest = min(int(pid) for pid in pids.split() if pid != "1")  # 1 is the init
        self.sh(service, f"kill -{signal} {oldest}", index)

    def started(self, service: str, index: int) -> str:
        """Return when a container was started; empty if it is not running."""
        return self.sh(service, "stat -c %Y /proc/1", index, check=False).strip()

    def wait_restarted(self, service: str, index: int, before: str) -> None:
        """Wait until a container that exited runs again, and all of its service are healthy.

        Not ``up --wait``, which fails on a container that has exited and not yet restarted.
        """
        wait_for(
            f"{service} {index} to start again",
            lambda: self.started(service, index) not in ("", before),
        )
        wait_for(
            f"{service} to be healthy",
            lambda: all(row["Health"] == "healthy" for row in self.containers(service)),
        )

    def base(self, service: str = "api", port: int = 5000) -> str:
        return f"http://{self.compose('port', service, str(port)).strip()}"

    def ask(self, base: str, path: str, image: bytes) -> requests.Response:
        body = {"images": [data_url(image)]}
        return self.session.post(f"{base}{API}/{path}", json=body, timeout=120)

    def workers(self, model: str) -> list[dict[str, Any]]:
        """Return what the API lists of a model's workers that take requests."""
        try:
            reply = self.session.get(f"{self.base()}{API}/models", timeout=10)
            rows = {row["name"]: row["workers"] for row in reply.json()["models"]}
        except (requests.RequestException, ValueError, KeyError):
            return []
        return [worker for worker in rows[model] if worker["consuming"]]

    def wait_workers(self, model: str, count: int) -> list[dict[str, Any]]:
        def there() -> list[dict[str, Any]] | None:
            found = self.workers(model)
            return found if len(found) == count else None

        return wait_for(f"{count} workers of {model}", there)

    @contextmanager
    def load(self, base: str, path: str, image: bytes, clients: int = 4) -> Iterator["Load"]:
        """Send requests without pause while the block runs."""
        load = Load(self, base, path, image, clients)
        try:
            yield load
        finally:
            load.stop()


class Load:
    """Clients that send requests without pause until they are stopped, and their results."""

    def __init__(self, project: Project, base: str, path: str, image: bytes, clients: int) -> None:
        self.got: Counter[str] = Counter()
        self._lock, self._stopped = threading.Lock(), threading.Event()
        self._ask: Callable[[], requests.Response] = partial(project.ask, base, path, image)
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]
        for thread in self._threads:
            thread.start()
        self.more(clients)

    def more(self, count: int) -> None:
        """Wait until ``count`` more requests are answered."""
        until = self.answered + count
        wait_for(f"{count} more replies, got {self.got}", lambda: self.answered >= until)

    @property
    def answered(self) -> int:
        with self._lock:
            return sum(self.got.values())

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                reply = self._ask()
                got = "200" if reply.status_code == 200 else f"{reply.status_code} {reply.text}"
            except requests.RequestException as err:
                got = repr(err)
                self._stopped.wait(0.1)  # the API is away
            with self._lock:
                self.got[got] += 1


def is_free(port: int) -> bool:
    """Return whether a server could listen on a loopback port now."""
    try:
        try_to_bind(LOOPBACK, port)
    except OSError:
        return False
    return True


def free_ports(count: int) -> int:
    """Return the first of ``count`` consecutive free loopback ports.

    They are below the kernel's range for outgoing connections, because containers bind them only
    about a minute later.
    """
    first = 20000 + os.getpid() % 10000
    while not all(is_free(port) for port in range(first, first + count)):
        first += count
    return first


def worker_names(workers: Sequence[dict[str, Any]]) -> set[str]:
    return {worker["worker"] for worker in workers}
