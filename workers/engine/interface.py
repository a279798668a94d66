"""What Celery's side of a worker needs of an engine, wherever the model is."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol

from shared.messages import Outcome
from shared.redis.presence import EngineStatus
from workers.engine.job import EngineJob


class Engine(Protocol):
    """Answers jobs.

    :class:`~workers.engine.loop.LocalEngine` has the model in a process of this machine;
    :class:`~workers.remote.engine.RemoteEngine` asks servers elsewhere.
    """

    on_batch: Callable[[float], None]
    """Called in the engine's thread with the seconds that each batch, or each answer, took."""

    @property
    def concurrency(self) -> int:
        """How many jobs to hold at once: those that run, and those to follow; it may change."""

    @property
    def status(self) -> EngineStatus:
        """What the engine does and has done; any thread may read it."""

    def start(self) -> None:
        """Start working; does not wait for the model."""

    def submit(self, job: EngineJob) -> "Future[Outcome]":
        """Hand in a job.

        Its future raises ``Dropped``, ``Requeued`` or a :class:`~shared.errors.VisionError`.
        """

    def drain(self) -> None:
        """Finish what has begun; requeue all else, now and from now on."""

    def recycle(self) -> None:
        """Load the model anew, because an operator wants it."""

    def unload(self) -> None:
        """Unload the model until its next job, because an operator wants it."""

    def close(self) -> None:
        """Drain, then end everything that :meth:`start` began."""
