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
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "redis_socket_timeout": 30,
    "redis_socket_connect_timeout": 2,
    "result_expires": MAX_DEADLINE_S,
    "result_backend_max_retries": 30,
    "result_backend_max_sleep_between_retries_ms": 1000,
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
NO_RETRIES = {"max_retries": 0, "interval_start": 0, "interval_step": 0, "interval_max": 0}


def make_celery(settings: Settings, *, worker: bool) -> Celery:
    """Return the configured application; Redis creates queues when they are first used.

    Args:
        settings: where Redis is.
        worker: a worker retries to store a result while Redis restarts; the API never blocks on
            Redis, because of its deadlines.
    """
    app = Celery("vision", broker=settings.broker_url, backend=settings.broker_url)
    app.conf.update(SETTINGS, result_backend_always_retry=worker)
    if not worker:
        app.conf.result_backend_transport_options = {"retry_policy": NO_RETRIES}
    return app
