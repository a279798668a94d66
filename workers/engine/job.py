"""A job inside a worker: its message, its images, and the future of its outcome."""

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property

from shared.errors import VisionError, error_named
from shared.images.several import ReadImages, read_each
from shared.messages import NO_TIME, Instructions, Job, JobTimes, Outcome, Result
from workers.model.protocol import JobError
from workers.preparing.preparation import Preparation, Prepared

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
    """Number of the model process that has the prepared images; 0: none."""
    preparation: Preparation | None = None
    """How the images are prepared; ``None``: nobody has begun to."""
    prepared: "list[Future[Prepared]]" = field(default_factory=list)
    """The images as the model gets them, in order."""
    is_late: bool = False
    """A batch has waited for it once; no other does before it is prepared."""
    is_probe: bool = False
    """It is the worker's own, made to find out whether the model works."""
    has_hung: bool = False
    """It was in a batch that took too long; next time it is a suspect."""
    has_not_fit: bool = False
    """It ran out of memory alone, and gets one fresh process."""
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
        self._inputs: ReadImages[Prepared] | None = None
        self._all_done: list[Future[Prepared]] | None = None
        """:attr:`prepared`, once each of them is done: it is asked for at each turn of the loop."""
        self.future.add_done_callback(lambda _: self.release())

    @cached_property
    def unworded(self) -> Instructions:
        """The instructions without their wording; a batch is sought at many turns of the loop."""
        return self.instructions.without_wording

    @cached_property
    def digests(self) -> frozenset[bytes]:
        """What the images are known by; made when an image has ended a process, and not before."""
        return frozenset(hashlib.sha256(image).digest() for image in self.images)

    @property
    def is_prepared(self) -> bool:
        """Whether each image is ready, or found to be unreadable."""
        images = self.prepared
        if self._all_done is not images and self.preparation is not None:
            if not all(image.done() for image in images):
                return False
            self._all_done = images
        return self._all_done is images

    def inputs(self) -> ReadImages[Prepared]:
        """Return the prepared images; only for a job that :attr:`is_prepared`.

        Raises:
            VisionError: the first fault, if no image can be read, or a conversation needs it.
        """
        if self._inputs is None:
            read = read_each(lambda image: image.result(), self.prepared)
            if self.message.messages:
                read.all_images()  # messages name them by their positions
            self._inputs = read
        return self._inputs

    @property
    def prepare_s(self) -> float:
        """Seconds that it took to prepare the images. Only for a job that :attr:`is_prepared`."""
        return sum(image.seconds for image in self.inputs().images)

    @property
    def fault(self) -> VisionError | None:
        """Why the job cannot be run; ``None``: it can. Only for a job that :attr:`is_prepared`."""
        if self._inputs is not None:
            return None
        try:
            self.inputs()
        except VisionError as err:
            return err
        return None

    def release(self) -> None:
        """Let go of the prepared images, and of what has not been begun of their preparation."""
        for image in self.prepared:
            image.cancel()
        self.prepared, self.preparation, self._inputs = [], None, None

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
        """Tell the task what came of the job's readable images, and which are not."""
        if isinstance(outcome, Result):
            self.future.set_result(Outcome(outcome.with_unreadable(self.inputs().unreadable)))
            return
        self.refuse(error_named(outcome.error, outcome.message))


def drop(jobs: Iterable[EngineJob]) -> None:
    """Tell the tasks of some jobs that nobody waits for them."""
    for job in jobs:
        job.future.set_exception(Dropped())


def requeue(jobs: Iterable[EngineJob]) -> None:
    """Tell the tasks of some jobs to put them back on the queue."""
    for job in jobs:
        job.future.set_exception(Requeued())
