"""How batches are formed: jobs that wait for the model, and a short wait for more of them.

Pure bookkeeping, no process in sight.
"""

import time
from collections.abc import Iterable, Sequence

from workers.engine.job import Dropped, EngineJob, FindCancelled

SHARE = 0.05
"""How long to linger, as a share of the time that the last batch took."""
LONGEST_S = 0.2
"""How long to linger at most."""


class BatchQueue:
    """Waiting jobs, first come, first served, but batched with those that ask the same."""

    def __init__(self) -> None:
        self._items: list[EngineJob] = []

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: EngineJob) -> None:
        """Append a job."""
        self._items.append(item)

    def put_back(self, items: Iterable[EngineJob]) -> None:
        """Put jobs that were begun in vain back in front."""
        self._items[:0] = items

    def take_all(self) -> list[EngineJob]:
        """Remove and return all jobs."""
        items, self._items = self._items, []
        return items

    def ahead(self, images: int) -> list[EngineJob]:
        """Return the jobs that will be run next, up to a number of images; at least one.

        A suspect is always alone: nothing else may be in the process while it is.
        """
        return _fill(self._items, images)

    def take_batch(self, images: int) -> list[EngineJob]:
        """Remove and return a batch: the first job, and those that ask the same, in order.

        Greedy: whatever has come while the model was busy. A job with several images is never
        split, so that the first job may exceed ``images``.
        """
        if not self._items:
            return []
        first = self._items[0]
        alike = [item for item in self._items if item.instructions == first.instructions]
        batch = [first] if first.instructions.is_seeded else _fill(alike, images)
        self._items = [item for item in self._items if item not in batch]
        return batch

    def take_alike(self, digest: str) -> list[EngineJob]:
        """Remove and return the jobs that have the same images and ask the same."""
        alike = [item for item in self._items if item.digest == digest]
        self._items = [item for item in self._items if item.digest != digest]
        return alike

    def suspect(self, generation: int) -> None:
        """Mark the jobs that a process had when it died; its number is ``generation``."""
        for item in self._items:
            item.suspect = item.suspect or item.generation == generation

    def drop_unwanted(self, find_cancelled: FindCancelled) -> list[EngineJob]:
        """Remove jobs whose time is over or whose client has gone; their futures are told.

        Args:
            find_cancelled: says which of some task ids nobody waits for.
        """
        now = time.time()
        gone = set(find_cancelled([item.task_id for item in self._items])) if self._items else set()
        unwanted = [x for x in self._items if x.message.deadline <= now or x.task_id in gone]
        self._items = [item for item in self._items if item not in unwanted]
        for item in unwanted:
            item.future.set_exception(Dropped())
        return unwanted


def _fill(items: Sequence[EngineJob], images: int) -> list[EngineJob]:
    """Return the first of ``items`` and as many that follow as fit, suspects only alone."""
    chosen: list[EngineJob] = []
    count = 0
    for item in items:
        count += max(1, len(item.images))
        if chosen and (count > images or item.suspect):
            break
        chosen.append(item)
        if item.suspect:
            break
    return chosen


class Linger:
    """Delays the next batch briefly so that clients that just got an answer can join it.

    Clients that send their next request once they have an answer, as PhotoPrism's workers do, would
    otherwise split for good into those that are served and those that wait meanwhile, and each
    batch would be half as large as it could be. A single client is never delayed.
    """

    def __init__(self) -> None:
        self._expected, self._until = 0, 0.0

    def batch_over(self, expected: int, seconds: float, now: float) -> None:
        """Begin to wait.

        Args:
            expected: jobs that wait and jobs whose clients get their answers now, together; no
                more than a batch takes.
            seconds: what the batch took.
            now: the time, in seconds.
        """
        self._expected = expected
        self._until = now + min(SHARE * seconds, LONGEST_S)

    def left(self, waiting: int, now: float) -> float:
        """Return the seconds to wait still, with so many jobs there; 0: begin with them."""
        return 0.0 if waiting >= self._expected else max(0.0, self._until - now)
