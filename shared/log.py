"""Structured logging: one line per event, of a constant text and fields."""

import logging
import sys

import structlog
from structlog.types import EventDict, Processor

from shared.settings import Settings

NOISY_LOGGERS = ("amqp", "kombu", "celery", "urllib3", "PIL", "httpx2", "httpcore2")
"""Logged from warnings on, whatever the level."""


def configure_logging(settings: Settings, role: str, **fields: str) -> None:
    """Write the records of structlog and of the standard library to stderr in one format.

    Args:
        settings: level and format.
        role: ``api``, ``worker`` or ``model``: the process, as a field of every line.
        fields: more fields of every line, such as the model.
    """
    constant = {"role": role, **fields}

    def add_constant(_: object, __: str, event: EventDict) -> EventDict:
        return {**constant, **event}

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_constant,
    ]
    _configure_root(settings, shared)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _configure_root(settings: Settings, shared: list[Processor]) -> None:
    """Have the standard library's records pass through the same processors."""
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        if settings.log_format == "console"
        else structlog.processors.JSONRenderer()
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            renderer,
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.captureWarnings(capture=True)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    for noisy in NOISY_LOGGERS:
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
