"""Has the images of waiting jobs prepared before their batch begins."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from functools import partial

from workers.engine.job import EngineJob
from workers.preparing.pool import Preparer
from workers.preparing.preparation import Preparation, Prepared

LEAST_S, LONGEST_S = 0.003, 0.2
"""How long a batch waits for images at least, which is the time to prepare one, and at most."""


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
        self._awaited: set[EngineJob] = set()
        self.until = 0.0
        """When the present or last wait ends at the latest, in the time of :meth:`waits_for`."""

    def prepare(self, jobs: Iterable[EngineJob], preparation: Preparation) -> None:
        """Begin with those of some jobs that are not prepared in this way, nor about to be."""
        for job in jobs:
            # pydantic compares in Python, and each turn of the loop asks.
            if job.preparation is preparation or job.preparation == preparation:
                continue
            job.release()
            priority = job.message.priority
            job.prepared = [self._pool.submit(image, preparation, priority) for image in job.images]
            job.preparation = preparation  # from here on it counts what of these is done
            for image in job.prepared:
                image.add_done_callback(partial(self._image_done, job))

    def waits_for(self, late: Sequence[EngineJob], patience_s: float, now: float) -> bool:
        """Return whether a batch waits for some of its jobs to be prepared.

        It waits for each job once, and not for those that come meanwhile: where clients come back
        one after the other, there is always another one.

        Args:
            late: its jobs that are not prepared, if there are any.
            patience_s: how long a wait that begins now may take.
            now: the time in seconds.
        """
        if not self._awaited:
            self._awaited = set(late)
            self.until = now + min(max(LEAST_S, patience_s), LONGEST_S)
        missing = [job for job in late if job in self._awaited]
        if missing and now < self.until:
            return True
        for job in missing:
            job.is_late = True
        self._awaited = set()
        return False

    def _image_done(self, job: EngineJob, _: "Future[Prepared]") -> None:
        if job.is_prepared:
            self._wake()
