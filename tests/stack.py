"""A real stack for tests: Redis, Celery workers and gunicorn on free loopback ports."""

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

import psutil
import redis
import requests

from launcher.ports import LOOPBACK, client_host, free_port
from launcher.redis_server import redis_command
from shared.catalog import Catalog
from shared.redis.connection import connect
from shared.redis.presence import Presence, WorkerStatus
from shared.redis.store import Store
from shared.vocabulary import WorkerState
from tests import prefork
from workers.consumer.predecessors import process_lives

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"
SAMPLES = TESTS / "samples"
CATALOG = TESTS / "models.yaml"
UP_S = 200.0
"""How long a process may take to start, or anything else to happen, on a very busy machine."""
API = "/api/v1/vision"
PERMISSIONS = ("--enable-protected-configs", "local", "--enable-debug-command", "local")
"""What tests may do to Redis."""
GUNICORN = "from gunicorn.app.wsgiapp import run; run()"

Process: TypeAlias = subprocess.Popen[bytes] | prefork.Forked
T = TypeVar("T")


def wait_for(
    what: str | Callable[[], object],
    probe: Callable[[], T | Literal[False] | None],
    timeout_s: float = UP_S,
) -> T:
    """Poll until ``probe`` returns a truthy value, and return it: there is no event to wait on.

    Args:
        what: the awaited thing, for the message of the ``AssertionError`` after ``timeout_s``; or
            what tells of it then, such as what is in the way.
        probe: looks at another process once.
        timeout_s: seconds.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := probe():
            return found
        time.sleep(0.02)
    message = f"waited {timeout_s} s for {what() if callable(what) else what}"
    raise AssertionError(message)


class Processes:
    """Child processes with log files; all are stopped together."""

    forks = False
    """Whether APIs and workers are forked where that makes no difference, which tests do."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self._environment = folder, environment
        self._running: list[Process] = []
        self._numbers = itertools.count()

    def start(self, name: str, argv: list[str], *, fresh: bool = False, **extra: str) -> Process:
        environment = {**self._environment, **extra}
        process: Process
        with (self.folder / f"{name}-{next(self._numbers)}.log").open("wb") as log:
            if self.forks and not fresh and prefork.can_fork(argv, environment):
                process = prefork.fork(argv, environment, log.fileno())
            else:
                process = subprocess.Popen(
                    argv,
                    cwd=ROOT,
                    env=environment,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        self._running.append(process)
        return process

    @property
    def pids(self) -> list[int]:
        """Process ids of those that run."""
        return [process.pid for process in self._running if process.poll() is None]

    def logs(self, name: str) -> str:
        """Return what processes have logged, but for a line that one is just writing."""
        paths = sorted(self.folder.glob(f"{name}-*.log"))
        logs = (path.read_text(errors="replace") for path in paths)
        return "\n".join(log[: log.rfind("\n") + 1] for log in logs)

    def stop(self, last: Process | None = None) -> None:
        """Stop all, and then one that the others need until they end."""
        self.stop_besides(last)
        if last:
            end(last)

    def stop_besides(self, spared: Process | None) -> None:
        """Stop all but one."""
        others = [process for process in self._running if process is not spared]
        for process in others:
            if process.poll() is None:
                process.terminate()
        for process in others:
            end(process)
        self._running = [spared] if spared else []


def end(process: Process, sig: int = signal.SIGTERM) -> int:
    """Signal a process and wait for its end; return its exit status."""
    if process.poll() is None:
        process.send_signal(sig)
    try:
        return process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


class Stack:
    """Redis, and workers and APIs that are started when first needed."""

    def __init__(self, folder: Path, **settings: str) -> None:
        port = free_port()
        self.redis_url = f"redis://{LOOPBACK}:{port}/0"
        self.environment = child_environment(VISION_REDIS_URL=self.redis_url, **settings)
        self.processes = Processes(folder, self.environment)
        self._redis_command = [*redis_command(port, folder), *PERMISSIONS]
        self.redis_process = self.processes.start("redis", self._redis_command)
        self.redis = redis.Redis.from_url(self.redis_url, socket_timeout=UP_S)
        self.product_redis = connect(self.redis_url)  # which is less patient
        self.store = Store(self.product_redis)
        self.api_process: Process
        """The API that was asked for last."""
        self._workers: dict[str, Process] = {}
        self._apis: dict[tuple[object, ...], tuple[str, Process]] = {}
        wait_for("Redis", lambda: _succeeds(self.redis.ping))

    @cached_property
    def catalog(self) -> Catalog:
        """The catalogue of its processes."""
        return Catalog.load(Path(self.environment["VISION_CATALOG"]))

    def rest(self) -> None:
        """Stop workers and APIs, which take time of the processor while they wait; clear Redis."""
        self.processes.stop_besides(self.redis_process)
        self.redis.flushall()
        self._workers.clear()
        self._apis.clear()

    def restart_redis(self) -> None:
        """Kill Redis with all its data, and start another one on the same port."""
        end(self.redis_process, signal.SIGKILL)
        self.redis_process = self.processes.start("redis", self._redis_command)
        wait_for("Redis", lambda: _succeeds(self.redis.ping))

    def worker(self, model: str) -> None:
        """Start a worker of the model if none was started, and wait until it is ready."""
        if model not in self._workers:
            self._workers[model] = self.another_worker(model)
            self.wait_ready(model)

    def ready_workers(self, models: Collection[str]) -> None:
        """Start a worker of each model that has none, side by side, and wait for all of them."""
        for model in models:
            if model not in self._workers:
                self._workers[model] = self.another_worker(model)
        for model in models:
            self.wait_ready(model)

    def another_worker(self, model: str, **extra: str) -> Process:
        """Start a worker of the model; do not wait for it."""
        argv = [sys.executable, "-m", "workers", model]
        return self.processes.start(f"worker-{model}", argv, fresh=False, **extra)

    def wait_ready(self, model: str, count: int = 1, timeout_s: float = UP_S) -> None:
        """Wait until ``count`` workers take requests, or their load has failed."""

        def ready() -> bool:
            done = [
                worker
                for worker in self.workers(model)
                if worker.consuming or worker.state == WorkerState.FAILED
            ]
            return len(done) >= count

        name = f"worker-{model}"
        wait_for(lambda: f"{model}\n{self.processes.logs(name)}", ready, timeout_s)

    @contextlib.contextmanager
    def suspended(self, model: str) -> Iterator[None]:
        """Have the model of the only worker accept requests but not answer them."""
        self.worker(model)
        pid = wait_for("its process", lambda: self.status(model).model_pid)
        process = psutil.Process(pid)
        process.suspend()
        try:
            yield
        finally:
            with contextlib.suppress(
                psutil.NoSuchProcess
            ):  # of a batch that nobody wanted any more
                process.resume()

    def status(self, model: str) -> WorkerStatus:
        """Return what the only worker of a model says of itself, however late it says so."""
        (status,) = wait_for("its heartbeat", lambda: self.workers(model))
        return status

    def wait_held(self, model: str, count: int) -> None:
        """Wait until the model's workers have taken so many requests, as they say each second."""
        wait_for(
            f"{count} requests of {model}",
            lambda: sum(worker.held for worker in self.workers(model)) == count,
        )

    def workers(self, model: str) -> list[WorkerStatus]:
        """Return what the model's workers say, without those that were killed moments ago."""
        return [worker for worker in self.presence(model).workers if _runs(worker.worker)]

    def presence(self, model: str) -> Presence:
        return self.store.presence.of(self.catalog.get(model))

    def api(self, *, host: str = LOOPBACK, before: str = "", **extra: str) -> str:
        """Return the base URL of an API that answers; start it if none with these settings runs.

        Args:
            host: address to listen on.
            before: Python code that the process runs first, to inject a fault or shorten a time.
            extra: more environment variables.
        """
        key = (host, before, *sorted(extra.items()))
        base, process = self._apis.get(key, ("", None))
        if process is None or process.poll() is not None:
            base = self.another_api(host=host, before=before, fresh=False, **extra)
            self._apis[key] = base, self.api_process
        else:
            self.api_process = process
        return base

    def another_api(
        self, *, host: str = LOOPBACK, before: str = "", fresh: bool = False, **extra: str
    ) -> str:
        """Start an API for a test alone, which may end it; else as :meth:`api`.

        Args:
            host: address to listen on.
            before: Python code that the process runs first.
            fresh: whether it imports its code itself, so that its memory is that of a real one.
            extra: more environment variables.
        """
        port = extra.pop("VISION_PORT", "") or str(free_port())
        process = self.starting_api(
            before=before, fresh=fresh, VISION_HOST=host, VISION_PORT=port, **extra
        )
        base = f"http://{client_host(host)}:{port}"

        def alive() -> bool:
            assert process.poll() is None, self.processes.logs("api")
            return _succeeds(lambda: requests.get(f"{base}/livez", timeout=5).ok)

        wait_for("the API", alive)
        self.api_process = process
        return base

    def starting_api(self, *, before: str = "", fresh: bool = False, **extra: str) -> Process:
        """Start an API; do not wait for it."""
        gunicorn = ["-c", f"{before}\n{GUNICORN}"] if before else ["-m", "gunicorn"]
        argv = [sys.executable, *gunicorn, "-c", "python:api.gunicorn_conf", "api.wsgi:application"]
        return self.processes.start("api", argv, fresh=fresh, **extra)


def child_environment(**extra: str) -> dict[str, str]:
    """Return this process' environment with the tests' settings and no others."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("VISION_", "OLLAMA_"))
    }
    return {
        **clean,
        "VISION_CATALOG": str(CATALOG),
        "VISION_MODELS_DIR": str(TESTS / "checkpoints"),
        "VISION_MODELS": "efficientnet-lite0,opennsfw",
        "VISION_TIMEOUT": "60",
        "VISION_RESTART_GRACE_S": "20",
        "VISION_TORCH_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        **extra,
    }


@contextlib.contextmanager
def running_stack(folder: Path, **settings: str) -> Iterator[Stack]:
    """Run a stack with the given settings; stop all its processes afterwards."""
    stack = Stack(folder, **settings)
    try:
        yield stack
    finally:
        stack.processes.stop(stack.redis_process)
        stack.redis.close()
        stack.product_redis.close()


def _runs(worker: str) -> bool:
    """Return whether the process of a worker lives, by its name, ``<model>-<pid>@<host>``."""
    return process_lives(int(worker.rpartition("@")[0].rpartition("-")[2]))


def _succeeds(call: Callable[[], Any]) -> bool:
    try:
        return bool(call())
    except Exception:  # noqa: BLE001 - any error means that it is not up yet
        return False
