"""Jobs that wait for the model, and how a batch is formed of them."""

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from shared import errors
from shared.errors import ModelFailed, VisionError
from shared.messages import Job, Result
from workers.model.protocol import Ask, JobError


class Dropped(Exception):
    """Nobody waits for the job any more; it was not run."""


class HandedBack(Exception):
    """The worker stops before the job was begun; it belongs back on the queue."""


@dataclass(eq=False)
class Item:
    """A job with its encoded images, and where its result goes."""

    task_id: str
    job: Job
    images: Sequence[bytes]
    future: "Future[Result]" = field(default_factory=Future)
    suspect: bool = False
    """A model process died while it had this job: run it alone, so that it takes none along."""
    generation: int = 0
    """Number of the model process that has the images; 0: none."""

    def __post_init__(self) -> None:
        self.ask = Ask(tasks=self.job.tasks, prompt=self.job.prompt, options=self.job.options.known)
        digest = hashlib.sha256(self.ask.model_dump_json().encode())
        for image in self.images:
            digest.update(hashlib.sha256(image).digest())
        self.digest = digest.hexdigest()

    def answer(self, outcome: Result | JobError) -> None:
        """Tell the task what came of the job."""
        if isinstance(outcome, Result):
            self.future.set_result(outcome)
            return
        kind = getattr(errors, outcome.error, ModelFailed)
        is_ours = isinstance(kind, type) and issubclass(kind, VisionError)
        self.future.set_exception((kind if is_ours else ModelFailed)(outcome.message))


class Pending:
    """Waiting jobs, first come, first served, but batched with those that ask the same."""

    def __init__(self) -> None:
        self._items: list[Item] = []

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: Item) -> None:
        """Append a job."""
        self._items.append(item)

    def put_back(self, items: Iterable[Item]) -> None:
        """Put jobs that were begun in vain back in front."""
        self._items[:0] = items

    def take_all(self) -> list[Item]:
        """Remove and return all jobs."""
        items, self._items = self._items, []
        return items

    def ahead(self, images: int) -> list[Item]:
        """Return the jobs that will be run next, up to a number of images; at least one.

        A suspect is always alone: nothing else may be in the process while it is.
        """
        return _fill(self._items, images)

    def take_batch(self, images: int) -> list[Item]:
        """Remove and return a batch: the first job, and those that ask the same, in order.

        Greedy: whatever has come while the model was busy. A job with several images is never
        split, so that the first job may exceed ``images``.
        """
        if not self._items:
            return []
        first = self._items[0]
        alike = [item for item in self._items if item.ask == first.ask]
        batch = [first] if first.ask.is_seeded else _fill(alike, images)
        self._items = [item for item in self._items if item not in batch]
        return batch

    def take_alike(self, digest: str) -> list[Item]:
        """Remove and return the jobs that have the same images and ask the same."""
        alike = [item for item in self._items if item.digest == digest]
        self._items = [item for item in self._items if item.digest != digest]
        return alike

    def suspect(self, generation: int) -> None:
        """Mark the jobs that a process had when it died; its number is ``generation``."""
        for item in self._items:
            item.suspect = item.suspect or item.generation == generation

    def drop_unwanted(self, void: Callable[[Sequence[str]], Iterable[str]]) -> list[Item]:
        """Remove jobs whose time is over or whose client has gone; their futures are told.

        Args:
            void: says which of some task ids nobody waits for.
        """
        now = time.time()
        gone = set(void([item.task_id for item in self._items])) if self._items else set()
        unwanted = [x for x in self._items if x.job.deadline <= now or x.task_id in gone]
        self._items = [item for item in self._items if item not in unwanted]
        for item in unwanted:
            item.future.set_exception(Dropped())
        return unwanted


def _fill(items: Sequence[Item], images: int) -> list[Item]:
    """Return the first of ``items`` and as many that follow as fit, suspects only alone."""
    chosen: list[Item] = []
    count = 0
    for item in items:
        count += len(item.images)
        if chosen and (count > images or item.suspect):
            break
        chosen.append(item)
        if item.suspect:
            break
    return chosen
