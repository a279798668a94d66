"""Bookkeeping of failures: deadly images, failures in a row, and pauses before the next try."""

import time

from workers.engine.job import EngineJob

FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 120.0
LONGEST_ROW = 50
"""How many deaths in a row, without an answer to a client, mean a broken model even if it answers
probes. High, because each of several deadly images costs one or two."""
MAX_CONVICTED = 1000
"""How many deadly jobs are remembered; the oldest make room."""


class Quarantine:
    """Images of the jobs that ended a model process by themselves; each is kept for some time.

    The instructions do not count: what crashes or hangs is nearly always the decoder or the model
    on this picture, and each other prompt would cost two more processes.
    """

    def __init__(self, seconds: float) -> None:
        """Keep each job's images for ``seconds``; 0: not at all."""
        self._seconds = seconds
        self._until: dict[frozenset[bytes], float] = {}

    def add(self, job: EngineJob) -> None:
        """Keep the images of a job, together, from now on."""
        self._until.pop(job.digests, None)
        while len(self._until) >= MAX_CONVICTED:
            del self._until[next(iter(self._until))]
        self._until[job.digests] = time.monotonic() + self._seconds

    def clear(self) -> None:
        """Forget all images."""
        self._until.clear()

    def __contains__(self, job: EngineJob) -> bool:
        """Return whether all images of a job that is kept are among those of ``job``."""
        now = time.monotonic()
        self._until = {images: until for images, until in self._until.items() if until > now}
        return any(job.has_images(images) for images in self._until)


class FailureBackoff:
    """Counts failures in a row, and makes the pauses between retries grow until one succeeds."""

    def __init__(self, most: int) -> None:
        """Doubt the model after each ``most`` failures in a row."""
        self._most = most
        self._pause_s = FIRST_PAUSE_S
        self.retry_at = 0.0
        """When to try again, in ``time.monotonic()``."""
        self.failures = self._deaths = self._load_deaths = 0

    @property
    def exhausted(self) -> bool:
        """Whether processes died so many times in a row that the model must be broken."""
        return self._deaths >= max(self._most, LONGEST_ROW)

    def succeeded(self) -> None:
        """Begin anew, because a batch of clients' jobs was answered."""
        self.failures = self._deaths = 0
        self._pause_s = FIRST_PAUSE_S

    def loaded(self) -> None:
        """Forget failed loads; a loaded process may still fail its batches."""
        self._load_deaths, self.retry_at = 0, 0.0

    def record_failure(self, *, died: bool = True) -> bool:
        """Count a process that died or was replaced; return whether the model is doubtful now."""
        self.failures += 1
        self._deaths += died
        return self.failures % self._most == 0

    def record_load_death(self) -> bool:
        """Count a process that died while it loaded; return whether it is the second in a row."""
        self._load_deaths += 1
        return self._load_deaths > 1

    def begin_pause(self, at_least_s: float = 0.0) -> float:
        """Begin anew after a pause; return its seconds. The next pause is twice as long."""
        pause_s = max(self._pause_s, at_least_s)
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        self.failures = self._deaths = self._load_deaths = 0
        self.retry_at = time.monotonic() + pause_s
        return pause_s

    def retry_now(self) -> None:
        """End the pause."""
        self.retry_at = 0.0
