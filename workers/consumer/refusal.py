"""Whether Redis refuses Celery for good what it needs to take messages.

The user of an ACL may, for example, write heartbeats and not read the queue. Celery tries again for
ever, as if the connection were lost. A worker that says that it is ready would get requests that
nobody ever takes.
"""

import time
from typing import Any, ClassVar

import structlog

from shared.redis.faults import describe, is_refusal, passes_by_itself
from workers.consumer.acknowledging import QuietConsumer
from workers.consumer.kombu_guard import RECONNECT_S

log = structlog.get_logger(__name__)

LASTS_S = 5.0
"""How long a refusal counts. Celery tries again after a second, and is refused again."""


class Refusal:
    """What Redis has refused lately."""

    def __init__(self) -> None:
        self._told, self._until = "", 0.0

    def __str__(self) -> str:
        """Return it as a sentence for a worker's state; empty: there is none."""
        return self._told if time.monotonic() < self._until else ""

    def note(self, error: Exception) -> None:
        """Note why Celery's consumer has ended, and pause if that would happen again at once."""
        if not is_refusal(error) or passes_by_itself(error):
            return
        told = f"it cannot take requests off its queue. {describe(error)}"
        if str(self) != told:
            log.error("no requests are taken", error=describe(error))
        self._told, self._until = told, time.monotonic() + LASTS_S
        time.sleep(RECONNECT_S)


class CandidConsumer(QuietConsumer):
    """Celery's consumer, which notes why it begins anew."""

    refusal: ClassVar[Refusal]

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """Note why no connection came about."""
        self.refusal.note(exc)
        self._usual.on_connection_error_before_connected(exc)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Note why the connection has ended."""
        self.refusal.note(exc)
        self._usual.on_connection_error_after_connected(exc)

    @property
    def _usual(self) -> Any:  # noqa: ANN401 - Celery's types lack these methods
        return super()
