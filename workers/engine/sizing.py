"""How many images a batch may have: fewer after a failure that smaller batches avoid, then more."""

import time

import structlog

log = structlog.get_logger(__name__)

FIRST_PAUSE_S = 15.0
"""How long batches stay small after they were halved. In vain, a larger one costs its own time."""
LONGEST_PAUSE_S = 600.0


class BatchSizer:
    """Halves batches at once, and doubles them again one step after the other."""

    def __init__(self, full: int) -> None:
        """Begin with batches of ``full`` images, which is also the most."""
        self._full = self.most = full
        self._cause = ""
        self._pause_s = FIRST_PAUSE_S
        self._grow_at = 0.0

    @property
    def is_reduced(self) -> bool:
        """Whether a failure made batches smaller than they should be."""
        return bool(self._cause)

    @property
    def reason(self) -> str:
        """Why batches are as large as they are, for a person."""
        return self._cause or "as configured"

    def shrink(self, images: int, cause: str) -> bool:
        """Halve batches because one of ``images`` images failed; return whether that is possible.

        Args:
            images: how many images the model got.
            cause: what happened, as a clause.
        """
        tried = min(self.most, images)
        if tried <= 1:
            return False
        if self.is_reduced:  # growing again was in vain
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        self.most, self._cause = tried // 2, f"{cause} with {tried} images in a batch"
        self._grow_at = time.monotonic() + self._pause_s
        log.warning("smaller batches", max_batch=self.most, reason=self._cause)
        return True

    def succeeded(self, images: int) -> None:
        """Double batches again after a pause, once a batch as large as they may be succeeded."""
        if not self.is_reduced or images < self.most or time.monotonic() < self._grow_at:
            return
        if self.most == self._full:
            self._cause, self._pause_s = "", FIRST_PAUSE_S
            log.info("batches are as large again as before", max_batch=self.most)
            return
        self.most = min(2 * self.most, self._full)
        self._grow_at = time.monotonic() + self._pause_s
        log.info("larger batches", max_batch=self.most)
