"""Has the images of waiting jobs prepared before their batch begins."""

import contextlib
import queue
from collections.abc import Callable, Iterable, Iterator, Sequence
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
            wake: called in any thread when the images of a job are ready.
        """
        self._pool, self._wake = pool, wake
        self._ready: queue.SimpleQueue[EngineJob] = queue.SimpleQueue()
        self._awaited: list[EngineJob] = []
        self._until = 0.0

    def prepare(self, jobs: Iterable[EngineJob], preparation: Preparation) -> None:
        """Begin with those of some jobs that are not prepared in this way, nor about to be."""
        for job in jobs:
            if job.preparation == preparation:
                continue
            job.release()
            priority = job.message.priority
            job.prepared = [self._pool.submit(image, preparation, priority) for image in job.images]
            job.preparation = preparation  # from here on it counts what of these is done
            for image in job.prepared:
                image.add_done_callback(partial(self._image_done, job))

    def take_ready(self) -> Iterator[EngineJob]:
        """Return the jobs that have become ready since the last call, some of them twice."""
        with contextlib.suppress(queue.Empty):
            while True:
                yield self._ready.get_nowait()

    def waits_for(self, batch: Sequence[EngineJob], patience_s: float, now: float) -> bool:
        """Return whether a batch waits, from now on, for those of its jobs not yet prepared.

        Those that come meanwhile are not waited for: where clients come back one after the other,
        there is always another one.

        Args:
            batch: jobs that would be run together, if :meth:`remaining` is 0.
            patience_s: how long that may take.
            now: the time in seconds.
        """
        self._awaited = [job for job in batch if not job.is_prepared]
        self._until = now + min(max(LEAST_S, patience_s), LONGEST_S)
        return bool(self._awaited)

    def remaining(self, now: float) -> float:
        """Return for how many seconds a batch still waits; 0: none does.

        No batch waits again for a job that has let one wait in vain.
        """
        if not self._awaited:
            return 0.0
        self._awaited = [job for job in self._awaited if not job.is_prepared]
        if self._awaited and now < self._until:
            return self._until - now
        for job in self._awaited:
            job.is_late = True
        self._awaited = []
        return 0.0

    def _image_done(self, job: EngineJob, _: "Future[Prepared]") -> None:
        if job.is_prepared:
            self._ready.put(job)
            self._wake()
