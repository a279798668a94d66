"""gunicorn's target: ``gunicorn -c python:api.gunicorn_conf api.wsgi:application``."""

from api import create_app
from shared.allocator import return_freed_memory
from shared.log import configure_logging
from shared.settings import get_settings
from shared.tracing import start_tracing

return_freed_memory()
configure_logging(get_settings(), "api")
application = create_app(get_settings())
start_tracing("api", application)
