"""The Celery application of API and workers, and the reasons for its settings."""

from typing import Any

from celery import Celery

from shared.settings import Settings

MAX_DEADLINE_S = 600
"""PhotoPrism's own limit; no request takes longer."""

# Celery's time limits are not set, as a thread pool ignores them: the engine enforces deadlines.
SETTINGS: dict[str, Any] = {
    "accept_content": ["json"],
    "task_serializer": "json",
    "result_serializer": "json",
    # Celery checks `expires` when it receives a message, so it should receive late.
    "worker_prefetch_multiplier": 1,
    # A killed worker's messages stay in `unacked`; the API sends them again (api/dispatch.py).
    "task_acks_late": True,
    "task_reject_on_worker_lost": False,
    "broker_transport_options": {
        # Longer than any deadline plus two loads, or tasks in progress are delivered again.
        "visibility_timeout": 3 * MAX_DEADLINE_S,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "socket_timeout": 30,
        "socket_connect_timeout": 2,
    },
    # Redis' refusals (READONLY, OOM, …) are "channel errors". They end as lost connections do, and
    # would else end the worker, with its loaded model.
    "broker_channel_error_retry": True,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "redis_socket_timeout": 30,
    "redis_socket_connect_timeout": 2,
    "result_expires": MAX_DEADLINE_S,
    # A result consumer per gthread thread: 1.2 times the throughput of a shared one.
    "result_backend_thread_safe": False,
    "worker_send_task_events": True,
    "task_send_sent_event": True,
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
        worker: for a worker, which waits for messages; else for the API, whose threads publish
            them and never wait for each other.
    """
    app = Celery("vision", broker=settings.broker_url, backend=settings.broker_url)
    app.conf.update(SETTINGS, result_backend_transport_options={"retry_policy": NO_RETRIES})
    if not worker:
        app.conf.update(
            # A connection for each thread, so that none waits for another thread's.
            broker_pool_limit=settings.threads,
            broker_transport_options={
                **SETTINGS["broker_transport_options"],
                **NO_RETRIES,
                "socket_timeout": API_SOCKET_TIMEOUT_S,
            },
            redis_socket_timeout=API_SOCKET_TIMEOUT_S,
            task_publish_retry=False,
        )
    return app
