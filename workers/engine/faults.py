"""What failures teach: images that end the model process, and when to try again after losses.

Pure bookkeeping; no process in sight.
"""

import time

FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 120.0
MOST = 1000
"""Digests kept; the oldest make room."""


class Quarantine:
    """Remembers digests of deadly jobs for some time."""

    def __init__(self, seconds: float) -> None:
        """``seconds``: how long a digest is remembered; 0: not at all."""
        self._seconds = seconds
        self._until: dict[str, float] = {}

    def add(self, digest: str) -> None:
        """Remember a digest from now on."""
        while len(self._until) >= MOST:
            del self._until[next(iter(self._until))]
        self._until[digest] = time.monotonic() + self._seconds

    def knows(self, digest: str) -> bool:
        """Say whether a digest is remembered."""
        until = self._until.get(digest)
        if until is not None and until <= time.monotonic():
            del self._until[digest]
            return False
        return until is not None


class FailureBackoff:
    """Counts failures until something succeeds; pauses grow until then, also across retries."""

    def __init__(self, most: int) -> None:
        """``most``: failures in a row that are too many."""
        self._most = most
        self._pause_s = FIRST_PAUSE_S
        self.retry_at = 0.0
        """When to try again, in ``time.monotonic()``."""
        self.failures = self._load_deaths = self._shortages = 0

    def succeeded(self) -> None:
        """A batch was answered: all is well again."""
        self.failures = self._shortages = 0
        self._pause_s = FIRST_PAUSE_S

    def loaded(self) -> None:
        """A process has loaded the model; that says nothing of batches yet."""
        self._load_deaths, self.retry_at = 0, 0.0

    def failed(self) -> bool:
        """Count a lost process; says whether that was one too many."""
        self.failures += 1
        return self.failures >= self._most

    def died_loading(self) -> bool:
        """Count a process that died while it loaded; says whether to give up: at the second."""
        self._load_deaths += 1
        return self._load_deaths > 1

    def ran_short(self) -> bool:
        """Count a batch that memory was too small for; says whether it is not the first in a row.

        Then the smaller batch after it did not help.
        """
        self._shortages += 1
        return self._shortages > 1

    def give_up(self) -> float:
        """Begin anew after a pause, which is returned in seconds and doubles the next one."""
        pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, LONGEST_PAUSE_S)
        self.failures = self._load_deaths = self._shortages = 0
        self.retry_at = time.monotonic() + pause_s
        return pause_s

    def retry_now(self) -> None:
        """End the pause."""
        self.retry_at = 0.0
