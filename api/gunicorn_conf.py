"""gunicorn's configuration, from our settings."""

import gc
import os
import shutil
import signal

from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker
from prometheus_client import multiprocess, values

from api.metrics import FOLDER_VARIABLE
from api.metrics_folder import make_folder
from shared.log import configure_logging
from shared.redis.connection import connect
from shared.settings import get_settings
from shared.start import check_files

# gunicorn says in one line what is raised here. What its processes raise, it logs with a traceback.
_settings = get_settings()
check_files(_settings)
connect(_settings.broker_url)


class _Logger(Logger):  # type: ignore[misc]  # gunicorn is not typed
    """Writes gunicorn's own messages in our log format."""

    def setup(self, cfg: Config) -> None:
        """Have the root logger handle gunicorn's messages."""
        super().setup(cfg)
        configure_logging(_settings, "api")
        self.error_log.handlers.clear()
        self.error_log.propagate = True


_host = f"[{_settings.host}]" if ":" in _settings.host else _settings.host  # IPv6 needs brackets
bind = f"{_host}:{_settings.port}"
workers = _settings.api_processes
worker_class = "api.front.worker.FrontWorker"
graceful_timeout = _settings.stop_grace_s
accesslog = None  # the application logs each request, with its id and model
loglevel = "warning"
logger_class = _Logger
control_socket_disable = True  # a thread beside forks, and a socket in the user's home


def on_starting(server: Arbiter) -> None:
    """Create the folder for the metrics of all processes, before the first of them starts."""
    del server
    os.environ[FOLDER_VARIABLE] = make_folder()
    # prometheus_client chose its storage on import, before there was a folder, and cannot
    # choose anew: https://github.com/prometheus/client_python/issues/886
    values.ValueClass = values.get_value_class()  # type: ignore[no-untyped-call]


def pre_fork(server: Arbiter, worker: Worker) -> None:
    """Keep collections of garbage from copying the memory that processes share after the fork.

    At rest, master and one process held 103 MB together, and hold 85 so.
    """
    del server, worker
    gc.collect()
    gc.freeze()


def post_fork(server: Arbiter, worker: Worker) -> None:
    """Have a process stop if it was told to while it still had the handlers of gunicorn's master.

    These only note signals, gunicorn does not repeat them, and so it waited in vain.
    """
    worker.init_signals()
    while not server.SIG_QUEUE.empty():
        if server.SIG_QUEUE.get() in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            worker.handle_exit()


def child_exit(server: Arbiter, worker: Worker) -> None:
    """Remove an ended process from the gauges; what it counted stays."""
    del server
    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def on_exit(server: Arbiter) -> None:
    """Remove the folder."""
    del server
    shutil.rmtree(os.environ[FOLDER_VARIABLE], ignore_errors=True)
