"""The Celery application of API and workers, and the reasons for its settings."""

from typing import Any

from celery import Celery

from shared.broker import use_redis
from shared.settings import Settings
from shared.vocabulary import Priority

# Celery's time limits are not set, as our pool ignores them: the engine enforces deadlines.
SETTINGS: dict[str, Any] = {
    "accept_content": ["json"],
    "task_serializer": "json",
    "worker_prefetch_multiplier": 1,
    # What a killed worker held is lost; the API sends it again (api/dispatch.py).
    "task_acks_late": True,
    "task_reject_on_worker_lost": False,
    "broker_transport_options": {
        # kombu would keep each message that a worker holds in Redis a second time, for eight
        # commands a request, and deliver it again after `visibility_timeout`. The API does that,
        # within seconds.
        "ack_emulation": False,
        # Nothing has a priority; Redis would have to look at a list for each of four.
        "priority_steps": [0],
        # A worker waits for messages for a second at a time: a connection that stays silent for
        # longer is half-open. By default, kombu would notice after 26 to 51 s.
        "socket_timeout": 10,
        "health_check_interval": 5,
        "socket_connect_timeout": 2,
    },
    # Redis' refusals (READONLY, OOM, …) are "channel errors". They end as lost connections do, and
    # would else end the worker, with its loaded model.
    "broker_channel_error_retry": True,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    # Workers reply in a list that the API waits for (shared/redis/replies.py).
    "task_ignore_result": True,
    # Events of tasks are sent while somebody receives them: see shared/redis/presence.py.
    "worker_send_task_events": False,
    "task_track_started": False,
    "worker_hijack_root_logger": False,
    "worker_redirect_stdouts": False,
    "worker_enable_remote_control": True,
    "task_default_queue": "vision.unrouted",
}
# Who calls decides how long to try again, as it knows until when that is of use.
NO_RETRIES = {"max_retries": 0, "interval_start": 0, "interval_step": 0, "interval_max": 0}
API_SOCKET_TIMEOUT_S = 5
"""In the API a fresh connection is tried early; a worker waits for messages on its connections."""


def make_celery(settings: Settings, *, worker: bool) -> Celery:
    """Return the configured application; Redis creates queues when they are first used.

    Args:
        settings: where Redis is.
        worker: for a worker, which waits for messages; else for the API, which makes them
            (shared/redis/publishing.py), and whose threads never wait for each other.
    """
    app = Celery("vision")
    app.conf.update(SETTINGS)
    use_redis(app, settings.broker_url)
    if not worker:
        app.conf.update(
            # A connection for each thread's events, so that none waits for another thread's.
            broker_pool_limit=len(Priority) * settings.threads,
            broker_transport_options={
                **SETTINGS["broker_transport_options"],
                **NO_RETRIES,
                "socket_timeout": API_SOCKET_TIMEOUT_S,
            },
        )
    return app
