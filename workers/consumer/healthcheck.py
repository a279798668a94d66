"""``python -m workers.consumer.healthcheck [MODEL]``: does the worker on this host take requests?

The container's health check. It exits with 0 when a worker of this host has a heartbeat, consumes
its queue, and has a living model process; otherwise with 1 and one line that says what is wrong. A
model that is still being downloaded or loaded counts as unhealthy: the check's start period allows
for that time, and ``docker compose up --wait`` and rolling updates wait for a worker that serves.
"""

import socket
import sys
from collections.abc import Iterable

import redis

from shared.catalog import Catalog
from shared.errors import NotOffered
from shared.redis.connection import connect
from shared.redis.faults import describe, is_refusal
from shared.redis.presence import WorkerStatus
from shared.redis.store import Store
from shared.settings import Settings, get_settings
from workers.consumer.predecessors import process_lives


def trouble(settings: Settings, model: str) -> str:
    """Return what keeps the worker of ``model`` on this host from serving, or an empty string.

    Raises:
        NotOffered: the catalogue has no such model.
        ValueError: a setting or the catalogue is wrong.
    """
    spec = Catalog.load(settings.catalog).get(model)
    try:
        beats = Store(connect(settings.broker_url)).presence.of(spec).workers
    except redis.RedisError as err:
        if is_refusal(err):
            return describe(err)
        return f"{describe(err).rstrip('.')}: {err}"  # with the cause, such as a certificate
    return _trouble_of(beat for beat in beats if beat.worker.endswith(f"@{socket.gethostname()}"))


def _trouble_of(beats: Iterable[WorkerStatus]) -> str:
    """Judge by the newest heartbeat of this host; after a restart the old one stays for seconds."""
    beat = max(beats, key=lambda beat: beat.started_at, default=None)
    if beat is None:
        return "no heartbeat of this host"
    if not beat.state.is_up:
        return f"{beat.state} {beat.reason}".strip()
    if not beat.consuming:
        return f"{beat.state}, but takes nothing from its queue"
    if beat.model_pid and not process_lives(beat.model_pid):
        return f"the model process {beat.model_pid} is gone"
    return ""


def main() -> None:
    """Check the worker of the model named on the command line or in ``VISION_MODELS``."""
    try:
        settings = get_settings()
        names = tuple(sys.argv[1:]) or settings.models
        if len(names) != 1:
            sys.exit(
                "Name one model: `python -m workers.consumer.healthcheck blip`, or set "
                "VISION_MODELS."
            )
        sys.exit(trouble(settings, names[0]) or 0)
    except (NotOffered, ValueError) as err:
        sys.exit(str(err))


if __name__ == "__main__":
    main()
