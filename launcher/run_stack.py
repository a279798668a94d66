"""Run the whole service on this machine: Redis, workers, API and Flower.

supervisord starts, restarts and stops the processes (``supervisord.py``). This module checks the
settings, waits until the models are loaded (``startup.py``), and stops everything on a signal.
"""

import contextlib
import errno
import os
import shutil
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path
from types import FrameType

import redis

from launcher.errors import StartFailed
from launcher.ports import LOOPBACK, try_to_bind
from launcher.startup import Startup
from launcher.supervisord import TEMPORARY_FOLDERS, metrics_ports, start, worker_names
from shared.errors import NotOffered
from shared.families import OLLAMA
from shared.model_spec import ModelSpec
from shared.redis import deadline
from shared.redis.connection import connect
from shared.redis.deadline import redis_within
from shared.redis.faults import describe, is_refusal
from shared.redis.store import Store
from shared.settings import ROOT, Settings, get_settings
from shared.start import check_files
from workers.remote.config import check_rows

MAX_PORT = 65535
REDIS_S = 2
"""How long a Redis that is named may take for each answer."""


class Stopped(Exception):
    """The launcher received SIGINT or SIGTERM."""


def main() -> int:
    """Run until Ctrl-C or SIGTERM; returns the exit status."""
    os.environ.setdefault("VISION_LOG_FORMAT", "console")
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    supervisor: subprocess.Popen[bytes] | None = None
    folder: Path | None = None
    try:
        settings = get_settings()
        check(settings)
        folder = ROOT / ".run" / str(settings.port)
        supervisor = start(settings, folder)
        Startup(settings, set(worker_names(settings)), folder).wait(supervisor)
        supervisor.wait()
        _say("The supervisor ended by itself.")
    except (StartFailed, ValueError, NotOffered) as err:
        _say(f"Cannot start: {err}")
        return 1
    except Stopped:
        _say("Stopping …")
        return 0
    finally:
        with contextlib.suppress(Stopped):
            if supervisor is not None:
                supervisor.terminate()
                supervisor.wait()
                _say("All stopped.")
            if folder is not None:
                for name in TEMPORARY_FOLDERS:
                    shutil.rmtree(folder / name, ignore_errors=True)
    return 1


def check(settings: Settings) -> None:
    """Check what the settings name: files, models, a Redis that answers, and ports that are free.

    Raises:
        StartFailed: a port cannot be used, or the configured Redis does not answer or refuses.
        ValueError: a model or another setting is wrong.
        NotOffered: the catalogue has models of Ollama, but not the row `ollama`.
    """
    catalog = check_files(settings)
    if OLLAMA in worker_names(settings):
        check_rows(catalog)
    if not settings.models:
        raise StartFailed("VISION_MODELS names no model.")
    _check_folder(settings.models_dir)
    if settings.redis_url:
        _check_redis(settings.redis_url, map(catalog.get, settings.models))
    _check_ports(settings)


def _check_folder(path: Path) -> None:
    """See that the folder of the weights can be read, unless it is yet to be made.

    Raises:
        StartFailed: it cannot.
    """
    try:
        next(path.iterdir(), None)
    except FileNotFoundError:
        return
    except OSError as err:
        raise StartFailed(
            f"VISION_MODELS_DIR must name a folder that can be read, and {path} is none "
            f"({err.strerror})."
        ) from err


def _check_ports(settings: Settings) -> None:
    """See that each server has a port of its own, and that nobody else has it.

    Raises:
        StartFailed: one has not, or cannot listen there.
    """
    if settings.port == settings.flower_port:
        raise StartFailed(f"VISION_PORT and VISION_FLOWER_PORT are both {settings.port}.")
    servers = [
        ("the API", settings.host, settings.port, "VISION_PORT"),
        ("Flower", LOOPBACK, settings.flower_port, "VISION_FLOWER_PORT"),
    ]
    for model, port in metrics_ports(settings).items():
        rule = (
            f"each worker takes the next port from VISION_METRICS_PORT={settings.metrics_port} on"
        )
        if port > MAX_PORT:
            raise StartFailed(f"{rule}, and none is left for {model}. Choose a smaller one.")
        for _, _, taken, name in servers[:2]:
            if port == taken:
                raise StartFailed(f"{rule}, and that of {model} would be {name}. Choose another.")
        servers.append((f"the worker of {model}", settings.host, port, "VISION_METRICS_PORT"))
    for what, host, port, name in servers:
        try:
            try_to_bind(host, port)
        except OSError as err:
            raise StartFailed(_why_not(err, what, host, port, name)) from err


def _check_redis(url: str, specs: Iterable[ModelSpec]) -> None:
    """See that the configured Redis takes writes, and tells of each model's queue.

    Raises:
        StartFailed: it does not, or refuses.
        ValueError: its URL cannot be used.
    """
    deadline.install()
    store = Store(connect(url))
    try:
        with redis_within(REDIS_S):
            store.server.check_writable()
        for spec in specs:
            with redis_within(REDIS_S):
                store.presence.of(spec)
    except redis.RedisError as err:
        if is_refusal(err):
            raise StartFailed(
                f"VISION_REDIS_URL: this Redis cannot be used. {describe(err)}"
            ) from err
        raise StartFailed(
            f"VISION_REDIS_URL names a Redis that does not answer ({str(err).rstrip('.')}). Start "
            "it, correct the URL (rediss:// is for TLS, redis:// for none), or unset the variable "
            "to have one started here."
        ) from err


def _why_not(err: OSError, what: str, host: str, port: int, name: str) -> str:
    """Return why a server cannot listen, and which setting is to be changed."""
    if err.errno == errno.EADDRINUSE:
        another = port + 1 if port < MAX_PORT else port - 1
        return (
            f"port {port} on {host} is taken, and {what} needs it. Stop what uses it, or choose "
            f"another: {name}={another} make run"
        )
    if err.errno == errno.EACCES:
        return (
            f"only root may use port {port}, and {what} needs it. Choose one from 1024 on: "
            f"{name}={port + 5000} make run"
        )
    return (
        f"{what} cannot listen on {host} ({err.strerror}). VISION_HOST must be an address of this "
        "machine, such as 127.0.0.1, or 0.0.0.0 for all of its addresses."
    )


def _stop(_: int, __: FrameType | None) -> None:
    """Ignore further signals and leave :func:`main` by an exception."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise Stopped


def _say(text: str) -> None:
    print(text, flush=True)
