"""The ways to serve a model, each started on a port of its own."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import psutil
import yaml

from benchmarks.measuring import Client
from benchmarks.peers.served import PORT, REDIS, ROW, THREADS
from launcher.ports import LOOPBACK, free_port
from launcher.redis_server import redis_command
from shared.catalog import Catalog
from shared.model_spec import ModelSpec
from tests.stack import Processes, child_environment, running_stack, wait_for

CORES = os.cpu_count() or 1
START_S = 120.0
PREDICT = "/predict"


class Way(NamedTuple):
    """A running server of one model."""

    name: str
    client: Client
    pids: Callable[[], list[int]]
    """Ids of its processes, without their children."""

    def cpu_s(self) -> float:
        """Return the seconds of CPU time that its processes have taken so far."""
        roots = [psutil.Process(pid) for pid in self.pids()]
        every = {p.pid: p for root in roots for p in (root, *root.children(recursive=True))}
        return sum(p.cpu_times().user + p.cpu_times().system for p in every.values())


@contextmanager
def all_ways(spec: ModelSpec, programs: Path) -> Iterator[list[Way]]:
    """Start all servers of a model, which stop with the context.

    Args:
        spec: the model.
        programs: folder of the peers' Python.
    """
    with ExitStack() as ways, TemporaryDirectory() as folder:
        each_way = (  # each takes a free port only when it is started
            partial(ours, spec, Path(folder), 1),
            partial(ours, spec, Path(folder), 2),
            partial(flask, spec, programs, "Flask, 16 threads", "--threads", "16", threads=CORES),
            partial(
                flask, spec, programs, "gunicorn -w2", "--workers", "2", threads=max(1, CORES // 2)
            ),
            partial(litserve, spec, programs),
            partial(bentoml, spec, programs),
            partial(celery, spec, programs, Path(folder)),
        )
        yield [ways.enter_context(start()) for start in each_way]


@contextmanager
def ours(spec: ModelSpec, folder: Path, workers: int) -> Iterator[Way]:
    """Run our stack with so many workers, which divide the cores."""
    catalog, own = folder / "models.yaml", folder / str(workers)
    own.mkdir()
    row = spec.model_dump(mode="json", exclude_unset=True)
    catalog.write_text(yaml.safe_dump({"models": [row]}))
    threads = str(max(1, CORES // workers))
    with running_stack(
        own,
        VISION_CATALOG=str(catalog),
        VISION_MODELS=spec.name,
        VISION_REQUEST_SLOTS="80",
        VISION_TORCH_THREADS=threads,
        OMP_NUM_THREADS=threads,
    ) as stack:
        stack.catalog = Catalog.load(catalog)
        for _ in range(workers):
            stack.another_worker(spec.name)
        stack.wait_ready(spec.name, workers, START_S)
        client = Client(stack.api(), spec.name, spec.tasks[0])
        name = "Vision Workers" + (f", {workers} workers" if workers > 1 else "")
        yield Way(name, client, lambda: stack.processes.pids)


@contextmanager
def peer(
    name: str, spec: ModelSpec, threads: int, port: int, *commands: list[str], **extra: str
) -> Iterator[Way]:
    """Run the processes of another server, and wait until it answers."""
    environment = {
        **child_environment(),
        ROW: spec.model_dump_json(exclude_unset=True),
        THREADS: str(threads),
        "OMP_NUM_THREADS": str(threads),
        PORT: str(port),
        **extra,
    }
    with TemporaryDirectory() as folder:
        processes = Processes(Path(folder), environment)
        try:
            for command in commands:
                processes.start("server", command)
            make_client = partial(
                Client, f"http://{LOOPBACK}:{port}", spec.name, spec.tasks[0], PREDICT
            )
            try:
                wait_for(name, lambda: answers(make_client()), START_S)
            except AssertionError:
                print(processes.logs("server"), file=sys.stderr)
                raise
            yield Way(name, make_client(), lambda: processes.pids)
        finally:
            groups = processes.pids
            processes.stop()
            for group in groups:  # LitServe leaves its children behind
                with suppress(ProcessLookupError):
                    os.killpg(group, signal.SIGKILL)


def answers(client: Client) -> bool:
    """Return whether a server answers yet; the client is of no use if it does not."""
    try:
        client()
    except (OSError, HTTPException, SystemExit):
        return False
    return True


def flask(
    spec: ModelSpec, programs: Path, name: str, *options: str, threads: int
) -> AbstractContextManager[Way]:
    """Run Flask under gunicorn."""
    port = free_port()
    target = "benchmarks.peers.flask_app:application"
    return peer(name, spec, threads, port, [*gunicorn(programs, port), *options, target])


def litserve(spec: ModelSpec, programs: Path) -> AbstractContextManager[Way]:
    """Run LitServe."""
    command = [str(programs / "python"), "-m", "benchmarks.peers.litserve_app"]
    return peer("LitServe", spec, CORES, free_port(), command)


def bentoml(spec: ModelSpec, programs: Path) -> AbstractContextManager[Way]:
    """Run BentoML."""
    port = free_port()
    service = "benchmarks.peers.bentoml_app:Vision"
    command = [str(programs / "python"), "-m", "bentoml", "serve", service, "--port", str(port)]
    return peer("BentoML", spec, CORES, port, command)


def celery(spec: ModelSpec, programs: Path, folder: Path) -> AbstractContextManager[Way]:
    """Run Celery's prefork pool, one process per core, and Flask in front of it."""
    port, redis_port = free_port(), free_port()
    app = "benchmarks.peers.celery_app"
    web = [*gunicorn(programs, port), "--threads", "64", f"{app}:application"]
    worker = [str(programs / "python"), "-m", "celery", "-A", app, "worker", "-c", str(CORES)]
    redis = redis_command(redis_port, folder)
    url = f"redis://{LOOPBACK}:{redis_port}/0"
    return peer("Celery as in tutorials", spec, 1, port, redis, web, worker, **{REDIS: url})


def gunicorn(programs: Path, port: int) -> list[str]:
    """Return the beginning of gunicorn's command."""
    return [str(programs / "python"), "-m", "gunicorn", "--bind", f"{LOOPBACK}:{port}"]
