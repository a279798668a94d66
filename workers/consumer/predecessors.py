"""Signs off workers of this host that were killed, so that their requests need not wait.

A killed worker cannot say that it has ended, and the API allows for one that only stands still for
a moment. Who is started after it on the same host can see that its process is gone.
"""

import os
import re
import threading
import time

import psutil
import structlog

from shared.redis.store import Store

log = structlog.get_logger(__name__)

SILENT_S = 2.5
"""How long a worker must have been silent: more than two heartbeats. Containers may share a host
name and not their processes, and then one that lives seems to have none."""
CLOCK_S = 1.0
"""How inexact the start of a process is known."""


def sign_off_predecessors(store: Store, model: str, worker: str, stop: threading.Event) -> None:
    """Sign off the workers of a model that have ended on this host; wait until that is sure.

    Args:
        store: Redis.
        model: the model served.
        worker: this worker, which has sent no heartbeat yet. In a container one before it may have
            had the same name.
        stop: is set when this worker stops, which ends the wait.

    Raises:
        redis.RedisError: Redis does not serve.
    """
    found = _ended(store, model, worker)
    if not found or stop.wait(max(0.0, SILENT_S - min(found.values()))):
        return
    for name, silent_s in _ended(store, model, worker).items():
        if silent_s < SILENT_S:
            continue
        if name == worker:
            store.leases.disown(worker)
        else:
            store.presence.leave(name, model)
        log.warning("signed off a worker that was killed", killed=name)


def process_lives(pid: int) -> bool:
    """Return whether a process runs, and does not just wait for its parent to read its status."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _ended(store: Store, model: str, worker: str) -> dict[str, float]:
    """Return the workers of this host whose processes are gone, and how long they are silent."""
    host = worker.rpartition("@")[2]
    name = re.compile(rf"{re.escape(model)}-(\d+)@{re.escape(host)}")
    silences = store.presence.silences().items()
    named = ((found, silent_s) for one, silent_s in silences if (found := name.fullmatch(one)))
    return {one[0]: silent_s for one, silent_s in named if _is_gone(int(one[1]), silent_s)}


def _is_gone(pid: int, silent_s: float) -> bool:
    """Return whether a process id is free, or belongs to a process that came later."""
    if pid == os.getpid() or not process_lives(pid):
        return True
    try:
        return psutil.Process(pid).create_time() > time.time() - silent_s + CLOCK_S
    except psutil.NoSuchProcess:
        return True
