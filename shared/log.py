"""Structured logging: one line per event, of a constant text and fields."""

import contextlib
import logging
import re
import sys

import structlog
from structlog.types import EventDict, Processor

from shared.settings import Settings

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What a terminal obeys, or shows in another order; JSON escapes it by itself."""
NOISY_LOGGERS = ("amqp", "kombu", "celery", "urllib3", "PIL", "httpx2", "httpcore2")
"""Logged from warnings on, whatever the level."""


class _Lines(structlog.WriteLogger):
    """Writes lines to stderr, and knows by which name it was asked for.

    Our own lines take this way because a request logs two of them, and through the standard library
    each takes four times as long.
    """

    def __init__(self, name: str = "") -> None:
        super().__init__(sys.stderr)
        self.name = name

    def msg(self, message: str) -> None:
        """Write a line. If nobody can read it, that stops nothing, as in the standard library."""
        with contextlib.suppress(OSError, ValueError):  # a broken pipe, a full disk, a closed file
            super().msg(message)

    log = debug = info = warn = warning = fatal = failure = err = error = critical = exception = msg


def configure_logging(settings: Settings, role: str, **fields: str) -> None:
    """Write our events and the records of the standard library to stderr in one format.

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
    rendering: list[Processor] = [structlog.processors.format_exc_info, *_renderer(settings)]
    _configure_root(settings, shared, rendering)
    structlog.configure(
        processors=[*shared, *rendering],
        logger_factory=_Lines,
        wrapper_class=structlog.make_filtering_bound_logger(settings.log_level),
        cache_logger_on_first_use=True,
    )


def _renderer(settings: Settings) -> list[Processor]:
    if settings.log_format == "console":
        return [_harmless, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    return [structlog.processors.JSONRenderer()]


def _harmless(_: object, __: str, event: EventDict) -> EventDict:
    """Escape what a client, such as by the path of its request, could tell the terminal."""
    return {
        name: _CONTROLS.sub(_escaped, value) if isinstance(value, str) else value
        for name, value in event.items()
    }


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


def _configure_root(
    settings: Settings, shared: list[Processor], rendering: list[Processor]
) -> None:
    """Have the standard library's records pass through the same processors."""
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.captureWarnings(capture=True)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    for noisy in NOISY_LOGGERS:
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
