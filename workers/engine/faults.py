"""Images that ended the model process, refused for a while."""

import time

MOST = 1000
"""Digests kept; the oldest make room."""


class Poison:
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
