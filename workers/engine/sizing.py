"""How many images a batch may have: as configured, or as is best for the device.

After a failure that smaller batches avoid they are halved, and doubled again later.
"""

import time

import structlog

from shared.model_spec import EngineOptions
from workers.engine.climbing import Climb, SizeCause
from workers.engine.pace import MAX_KINDS, Kind
from workers.model.memory import Memory

FIRST_PAUSE_S = 15.0
"""How long batches stay small after they were halved. In vain, a larger one costs its own time."""
LONGEST_PAUSE_S = 600.0

_CLAUSES = {
    SizeCause.MEMORY: "memory ran out",
    SizeCause.TOO_SLOW: "the model was too slow",
}

log = structlog.get_logger(__name__)


class BatchSizer:
    """Knows the size for the kind of batch that comes next, and learns from each batch."""

    def __init__(self, options: EngineOptions) -> None:
        """Begin with the configured size, or with that for CPUs if it is ``auto``."""
        self._options = options
        self._climbs: dict[Kind, Climb] = {}
        self._climb: Climb | None = None
        self._limit: int | None = None
        self._failure: SizeCause | None = None
        self._failed = ""
        self._pause_s = FIRST_PAUSE_S
        self._grow_at = 0.0

    @property
    def most(self) -> int:
        """Most images in a batch of the present kind."""
        return self._full if self._limit is None else min(self._limit, self._full)

    @property
    def is_reduced(self) -> bool:
        """Whether a failure made batches smaller than they should be."""
        return self._limit is not None

    @property
    def cause(self) -> SizeCause:
        """Why batches are as large as they are."""
        if self._failure:
            return self._failure
        if self._options.max_batch != "auto":
            return SizeCause.PINNED
        return self._climb.cause if self._climb else SizeCause.CPU

    @property
    def reason(self) -> str:
        """Why batches are as large as they are, for a person."""
        if self._failure:
            return self._failed
        if self._options.max_batch != "auto":
            return "max_batch of the row"
        return self._climb.reason if self._climb else "cpu_batch of the row"

    def turn_to(self, kind: Kind, *, on_accelerator: bool) -> None:
        """Have the next batches be of this kind.

        Args:
            kind: of batches; each has a size of its own.
            on_accelerator: whether the size is to be found; on a CPU ``auto`` means a fixed one.
        """
        self._climb = None
        if self._options.max_batch == "auto" and on_accelerator:
            if kind not in self._climbs and len(self._climbs) >= MAX_KINDS:
                del self._climbs[next(iter(self._climbs))]
            self._climb = self._climbs.setdefault(kind, Climb(self._options.batch_target_s))

    def shrink(self, images: int, cause: SizeCause) -> bool:
        """Halve batches because one of ``images`` images failed; return whether that is possible.

        Args:
            images: how many images the model got.
            cause: what happened.
        """
        tried = min(self.most, images)
        if tried <= 1:
            return False
        reason = f"{_CLAUSES[cause]} with {tried} images in a batch"
        if self._climb and tried > self._climb.tried:  # it was an attempt, and nothing is lost
            self._climb.step_back(self._climb.tried or tried // 2, cause, reason)
            return True
        if self.is_reduced:  # growing again was in vain
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        self._limit, self._failure, self._failed = tried // 2, cause, reason
        self._grow_at = time.monotonic() + self._pause_s
        log.warning("smaller batches", max_batch=self.most, reason=reason)
        return True

    def succeeded(self, images: int, seconds: float, memory: Memory) -> None:
        """Learn from a batch of the present kind that was answered.

        Args:
            images: its size.
            seconds: how long the model took.
            memory: memory of the process during the batch and afterwards.
        """
        if self._limit is None:
            if self._climb:
                self._climb.record(images, seconds, memory)
        elif images >= self.most and time.monotonic() >= self._grow_at:
            self._double_again(self._limit)

    def _double_again(self, limit: int) -> None:
        """Double batches after a pause, once one as large as they may be has succeeded."""
        if limit >= self._full:
            self._limit = self._failure = None
            self._pause_s = FIRST_PAUSE_S
            log.info("batches are as large again as before", max_batch=self.most)
            return
        self._limit = min(2 * limit, self._full)
        self._grow_at = time.monotonic() + self._pause_s
        log.info("larger batches", max_batch=self.most)

    @property
    def _full(self) -> int:
        if self._options.max_batch != "auto":
            return self._options.max_batch
        return self._climb.most if self._climb else self._options.cpu_batch
