"""A job inside a worker: its message, its images, and the future of its outcome."""

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from shared import errors
from shared.errors import ModelFailed, VisionError
from shared.messages import Job, Outcome, Result
from workers.engine.times import NO_TIME, JobTimes
from workers.model.protocol import JobError

FindCancelled = Callable[[Sequence[str]], Iterable[str]]
"""Returns those of some task ids that nobody waits for any more; may block on Redis."""


class Dropped(Exception):
    """Nobody waits for the job any more; it was not run, or not to its end."""


class Requeued(Exception):
    """The worker stops before the job was begun; it belongs back on the queue."""


@dataclass(eq=False)
class EngineJob:
    """A job as the engine has it."""

    task_id: str
    message: Job
    images: Sequence[bytes]
    future: "Future[Outcome]" = field(default_factory=Future)
    suspect: bool = False
    """A model process died while it had this job: run it alone, so that it takes none along."""
    generation: int = 0
    """Number of the model process that has the images; 0: none."""
    is_probe: bool = False
    """It is the worker's own, made to find out whether the model works."""
    has_hung: bool = False
    """It was in a batch that took too long; next time it is a suspect."""
    is_cancelled: bool = False
    """Nobody waits for it, although its deadline has not passed."""
    accepted_at: float = field(default_factory=time.monotonic)
    """When the engine got it, in ``time.monotonic()``."""
    times: JobTimes = NO_TIME
    """Where its time went; known once it is answered."""
    part: str = ""
    """Which part of a divided job it is."""

    def __post_init__(self) -> None:
        self.instructions = self.message.instructions
        self.digests = frozenset(hashlib.sha256(image).digest() for image in self.images)

    @property
    def key(self) -> str:
        """Name of the job on the pipe, unique in this worker."""
        return self.task_id + self.part

    @property
    def is_unwanted(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.is_cancelled or self.message.deadline <= time.time()

    def has_images(self, digests: frozenset[bytes]) -> bool:
        """Return whether all of some images, at least one, are among the job's."""
        return bool(digests) and digests <= self.digests

    def refuse(self, error: VisionError) -> None:
        """Tell the task why the job is not answered."""
        self.future.set_exception(error)

    def answer(self, outcome: Result | JobError) -> None:
        """Tell the task what came of the job."""
        if isinstance(outcome, Result):
            self.future.set_result(Outcome(outcome))
            return
        kind = getattr(errors, outcome.error, ModelFailed)
        is_ours = isinstance(kind, type) and issubclass(kind, VisionError)
        self.refuse((kind if is_ours else ModelFailed)(outcome.message))


def drop(jobs: Iterable[EngineJob]) -> None:
    """Tell the tasks of some jobs that nobody waits for them."""
    for job in jobs:
        job.future.set_exception(Dropped())


def requeue(jobs: Iterable[EngineJob]) -> None:
    """Tell the tasks of some jobs to put them back on the queue."""
    for job in jobs:
        job.future.set_exception(Requeued())
