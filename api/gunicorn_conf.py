"""gunicorn's configuration, from our settings."""

from shared.settings import get_settings

_settings = get_settings()

bind = f"{_settings.host}:{_settings.port}"
workers = _settings.api_processes
worker_class = "gthread"
threads = _settings.threads
keepalive = 75
graceful_timeout = _settings.stop_grace_s
accesslog = None  # the application logs each request, with its id and model
loglevel = "warning"
