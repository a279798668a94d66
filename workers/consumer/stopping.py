"""How long a worker that stops waits for a Redis that does not answer.

supervisord kills a worker that has not ended after 30 s. Without bounds, Celery's main thread would
try for ever to send its heartbeat before it stopped, its consumer says farewell several times and
took 90 s for that, and tasks waited until the deadline of their request. What is lost by that, the
API has another worker do.
"""

import math
import signal
import time

from celery.exceptions import WorkerShutdown
from celery.worker.consumer import Consumer

from shared.redis.deadline import redis_within

FAREWELL_S = 2
"""How long Redis may keep Celery's main thread before it stops, and then at each of three steps."""
TASKS_S = 8.0
"""How long tasks wait on for Redis to give them their images, or to take their replies."""


class Stopping:
    """Whether this worker stops, and until when its tasks wait for Redis."""

    def __init__(self) -> None:
        self._until = math.inf

    def begin(self) -> None:
        """Note that the worker stops; called in its main thread, by Celery's handler.

        Told again, it goes on stopping: an alarm would now interrupt the wait for its last tasks.
        """
        if self._until < math.inf:
            return
        self._until = time.time() + TASKS_S
        signal.signal(signal.SIGALRM, _stop_now)
        signal.alarm(FAREWELL_S)

    def limit(self, until: float) -> float:
        """Return until when to wait that would wait until then, in seconds since the epoch."""
        return min(until, self._until)


class BriefConsumer(Consumer):
    """Celery's consumer, which says farewell to Redis, but does not insist."""

    def stop(self) -> None:
        """Stop receiving."""
        signal.alarm(0)
        with redis_within(FAREWELL_S):
            super().stop()

    def shutdown(self) -> None:
        """Close the connection."""
        with redis_within(FAREWELL_S):
            super().shutdown()


def _stop_now(*_: object) -> None:
    """Leave whatever the main thread waits for; Celery takes that as the wish to stop."""
    raise WorkerShutdown(0)
