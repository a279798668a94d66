"""The processes of the stack, and the supervisord that starts, restarts and stops them."""

import configparser
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from launcher.errors import StartFailed
from launcher.parent_death import end_with_parent
from launcher.ports import LOOPBACK, free_port
from launcher.redis_server import redis_command
from shared.catalog import Catalog
from shared.families import OLLAMA
from shared.settings import ROOT, Settings

STOP_TIMEOUT_S = 30
"""How long a process may take to stop before supervisord kills it, unless it has its own time."""
API_MARGIN_S = 5
"""What the API gets beside its ``VISION_STOP_GRACE_S``."""
FLOWER_STOP_TIMEOUT_S = 3
"""Flower has nothing to finish. If a stack is stopped within its first second, supervisord signals
Flower as soon as it has forked it, and what reaches a process before it executes its program is
lost."""
START_RETRIES = 1_000_000
"""supervisord never gives up a program for good: what it lacks, such as Redis, may come back. While
the stack starts, ``startup.py`` reports a program that ends again and again."""
FLOWER_APP = "launcher.flower_app"
FLOWER_COLUMNS = "name,uuid,state,routing_key,received,runtime,worker"
"""Flower's default columns, and the queue (``routing_key``)."""
FLOWER_MAX_TASKS = 10_000
"""Tasks that Flower remembers, as in compose.yaml. Each takes 7 kB."""
TEMPORARY_FOLDERS = ("redis", "tmp")
"""Folders beside the logs that are removed when the stack stops."""
_ENDING_WITH_SUPERVISORD = (sys.executable, "-m", "launcher.parent_death")


def start(settings: Settings, folder: Path) -> "subprocess.Popen[bytes]":
    """Write the configuration into ``folder`` and start supervisord with it.

    Raises:
        StartFailed: there is no Redis for this machine, or ``folder`` cannot be written to.
    """
    programs = service_programs(settings)
    if settings.redis_url:
        redis_url = settings.redis_url
        where = redis_url.partition("?")[0].rpartition("@")[2]
    else:
        port = free_port()
        redis_url = f"redis://{LOOPBACK}:{port}/0"
        programs = {"redis": redis_command(port, folder / "redis"), **programs}
        where = f"started here, on {LOOPBACK}:{port}"
    configuration = folder / "supervisord.conf"
    try:
        for name in TEMPORARY_FOLDERS:
            (folder / name).mkdir(parents=True, exist_ok=True)
        for log in folder.glob("*.log*"):
            log.unlink()
        write_configuration(configuration, programs, stop_timeouts(settings))
    except OSError as err:
        raise StartFailed(
            f"{folder} cannot be written to ({err.strerror}), where the logs are to be. Make room "
            "on its disk, or have it belong to the user who starts the service."
        ) from err
    print(f"Redis: {where}", flush=True)
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "supervisor.supervisord"),
            *("--nodaemon", "--configuration", str(configuration)),
        ],
        cwd=ROOT,
        env=child_environment(settings, redis_url, folder),
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C reaches the launcher alone, which stops the rest in order
        preexec_fn=end_with_parent,  # noqa: PLW1509 - a single thread forks here
    )


def service_programs(settings: Settings) -> dict[str, list[str]]:
    """Return the commands of workers, API and Flower by program name, in starting order."""
    python = sys.executable
    programs: dict[str, list[str]] = {}
    ports = metrics_ports(settings)
    for model in worker_names(settings):
        command = [python, "-m", "workers", model]
        if model in ports:
            command = ["env", f"VISION_METRICS_PORT={ports[model]}", *command]
        programs[f"worker-{model}"] = command
    programs["api"] = [
        python, "-m", "gunicorn", "-c", "python:api.gunicorn_conf", "api.wsgi:application",
    ]  # fmt: skip
    programs["flower"] = [
        python, "-m", "celery", f"--app={FLOWER_APP}", "flower",
        f"--address={LOOPBACK}", f"--port={settings.flower_port}",
        f"--tasks_columns={FLOWER_COLUMNS}", f"--max_tasks={FLOWER_MAX_TASKS}",
    ]  # fmt: skip
    return programs


def stop_timeouts(settings: Settings) -> dict[str, int]:
    """Return how long programs may take to stop that need longer than others, or less."""
    return {
        "api": max(STOP_TIMEOUT_S, settings.stop_grace_s + API_MARGIN_S),
        "flower": FLOWER_STOP_TIMEOUT_S,
    }


def worker_names(settings: Settings) -> list[str]:
    """Return the models that get a worker; all models of Ollama have one worker together."""
    catalog = Catalog.load(settings.catalog)
    names = [catalog.get(name).queue_owner for name in settings.models]
    if settings.ollama.enabled:
        names.append(OLLAMA)
    return list(dict.fromkeys(names))


def metrics_ports(settings: Settings) -> dict[str, int]:
    """Return the port of each worker's metrics: on one machine each needs one of its own."""
    if not settings.metrics_port:
        return {}
    return {n: settings.metrics_port + i for i, n in enumerate(worker_names(settings))}


def child_environment(settings: Settings, redis_url: str, folder: Path) -> dict[str, str]:
    """Return the environment of all processes of the stack."""
    return {
        **os.environ,
        # Some libraries (torch) leave temporary files behind; these are removed with the folder.
        "TMPDIR": str(folder / "tmp"),
        "VISION_REDIS_URL": redis_url,
        "VISION_FLOWER_URL": settings.flower_url or flower_url(settings),
    }


def flower_url(settings: Settings) -> str:
    """Return where Flower listens, which is this machine alone."""
    return f"http://{LOOPBACK}:{settings.flower_port}"


def write_configuration(
    path: Path, programs: Mapping[str, list[str]], timeouts: Mapping[str, int] | None = None
) -> None:
    """Write supervisord's configuration: programs in starting order, stopped in reverse.

    Args:
        path: the file to write, in the folder of the logs.
        programs: the command of each.
        timeouts: seconds to stop in, of those that have not the same as all.
    """
    config = configparser.RawConfigParser()
    folder = path.parent
    config["supervisord"] = {
        "nodaemon": "true",
        "logfile": _escape(folder / "supervisord.log"),
        "pidfile": _escape(folder / "supervisord.pid"),
        "childlogdir": _escape(folder),
    }
    if os.geteuid() == 0:
        config["supervisord"]["user"] = "root"  # avoids supervisord's warning about running as root
    for priority, (name, command) in enumerate(programs.items()):
        config[f"program:{name}"] = {
            "command": _escape(shlex.join((*_ENDING_WITH_SUPERVISORD, *command))),
            "priority": str(priority),
            "autorestart": "true",
            "startsecs": "2",
            "startretries": str(START_RETRIES),
            "stopwaitsecs": str((timeouts or {}).get(name, STOP_TIMEOUT_S)),
            "killasgroup": "true",
            "redirect_stderr": "true",
            "stdout_logfile": _escape(folder / f"{name}.log"),
            "stdout_logfile_maxbytes": "10MB",
            "stdout_logfile_backups": "1",
        }
    with path.open("w", encoding="utf-8") as file:
        config.write(file)


def _escape(value: object) -> str:
    """Escape ``%``, which supervisord would expand."""
    return str(value).replace("%", "%%")
