"""Has the images of waiting jobs prepared before their batch begins."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from functools import partial

from workers.engine.job import EngineJob
from workers.preparing.pool import Preparer
from workers.preparing.preparation import Preparation, Prepared

PATIENCE_SHARE = 0.5
"""How long jobs wait for those that came with them, as a share of the last batch's time."""
LEAST_S, LONGEST_S = 0.003, 0.2
"""How long they wait at least, which is the time to prepare one, and at most."""


class Lookahead:
    """The pool as the engine's loop uses it.

    All but :meth:`prepare` of a job that the loop does not have yet is for the loop's thread.
    """

    def __init__(self, pool: Preparer, wake: Callable[[], None]) -> None:
        """Prepare.

        Args:
            pool: prepares images.
            wake: called in any thread when an image of a job is ready.
        """
        self._pool, self._wake = pool, wake
        self._until: float | None = None

    def prepare(self, jobs: Iterable[EngineJob], preparation: Preparation) -> None:
        """Begin with those of some jobs that are not prepared in this way, nor about to be."""
        for job in jobs:
            if job.preparation == preparation:
                continue
            job.release()
            job.preparation = preparation
            priority = job.message.priority
            job.prepared = [self._pool.submit(image, preparation, priority) for image in job.images]
            for image in job.prepared:
                image.add_done_callback(partial(self._image_done, job))

    def patience(self, batch: Sequence[EngineJob], batch_s: float, now: float) -> float:
        """Return for how many seconds a batch should wait for those of its jobs not yet prepared.

        It waits for each job once, and not at all if it can begin with none of them.

        Args:
            batch: jobs that would be run together.
            batch_s: seconds that the last batch took.
            now: the time in seconds.
        """
        late = [job for job in batch if not job.is_prepared]
        if not late:
            self._until = None
            return 0.0
        if self._until is None:
            self._until = now + min(max(LEAST_S, PATIENCE_SHARE * batch_s), LONGEST_S)
        if now < self._until:
            return self._until - now
        for job in late:
            job.is_late = True
        self._until = None
        return 0.0

    def remaining(self, now: float) -> float:
        """Return for how many seconds a batch still waits; 0: none does."""
        return max(0.0, self._until - now) if self._until is not None else 0.0

    def _image_done(self, job: EngineJob, _: "Future[Prepared]") -> None:
        if job.is_prepared:
            self._wake()
