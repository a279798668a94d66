"""gunicorn's target: ``gunicorn -c python:api.gunicorn_conf api.wsgi:application``."""

import structlog

from api import create_app
from shared.allocator import return_freed_memory
from shared.log import configure_logging
from shared.settings import get_settings
from shared.tracing import start_tracing

log = structlog.get_logger(__name__)
settings = get_settings()
return_freed_memory()
configure_logging(settings, "api")
if not settings.api_keys:
    log.warning(
        "no API key is set: whoever reaches the port may use the service",
        setting="VISION_API_KEYS",
        host=settings.host,
        port=settings.port,
    )
application = create_app(settings)
start_tracing("api", application)
