"""Bookkeeping of failures: deadly images, failures in a row, and pauses before the next try."""

import time

FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 120.0
MAX_DIGESTS = 1000
"""How many digests are kept; the oldest make room."""


class Quarantine:
    """Digests of the jobs that ended a model process by themselves; each is kept for some time."""

    def __init__(self, seconds: float) -> None:
        """Keep each digest for ``seconds``; 0: not at all."""
        self._seconds = seconds
        self._until: dict[str, float] = {}

    def add(self, digest: str) -> None:
        """Keep a digest from now on."""
        while len(self._until) >= MAX_DIGESTS:
            del self._until[next(iter(self._until))]
        self._until[digest] = time.monotonic() + self._seconds

    def __contains__(self, digest: str) -> bool:
        """Return whether a digest is in quarantine now."""
        until = self._until.get(digest)
        if until is not None and until <= time.monotonic():
            del self._until[digest]
            return False
        return until is not None


class FailureBackoff:
    """Counts failures in a row, and makes the pauses between retries grow until one succeeds."""

    def __init__(self, most: int) -> None:
        """Allow fewer than ``most`` failures in a row."""
        self._most = most
        self._pause_s = FIRST_PAUSE_S
        self.retry_at = 0.0
        """When to try again, in ``time.monotonic()``."""
        self.failures = self._load_deaths = self._memory_shortages = 0

    def succeeded(self) -> None:
        """Begin anew, because a batch was answered."""
        self.failures = self._memory_shortages = 0
        self._pause_s = FIRST_PAUSE_S

    def loaded(self) -> None:
        """Forget failed loads; a loaded process may still fail its batches."""
        self._load_deaths, self.retry_at = 0, 0.0

    def record_failure(self) -> bool:
        """Count a lost process; return whether that was one too many."""
        self.failures += 1
        return self.failures >= self._most

    def record_load_death(self) -> bool:
        """Count a process that died while it loaded; return whether it is the second in a row."""
        self._load_deaths += 1
        return self._load_deaths > 1

    def record_out_of_memory(self) -> bool:
        """Count a batch that ran out of memory.

        Returns:
            Whether the last batch did too, so that making batches smaller did not help.
        """
        self._memory_shortages += 1
        return self._memory_shortages > 1

    def begin_pause(self, at_least_s: float = 0.0) -> float:
        """Begin anew after a pause; return its seconds. The next pause is twice as long."""
        pause_s = max(self._pause_s, at_least_s)
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        self.failures = self._load_deaths = self._memory_shortages = 0
        self.retry_at = time.monotonic() + pause_s
        return pause_s

    def retry_now(self) -> None:
        """End the pause."""
        self.retry_at = 0.0
