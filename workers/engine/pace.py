"""How long a batch may take: learnt from how long such batches take."""

from collections import deque
from statistics import median

from shared.messages import Instructions

FACTOR = 10
"""A batch hangs once it has taken so many times as long as expected. Answers to one prompt are up
to some four times as long as to another."""
FLOOR_S = 30.0
"""Least time-out of a batch whose time is known: a busy machine may stand still for seconds."""
SAMPLES = 9
"""How many batches of a kind and size the median is taken of."""
MAX_KINDS = 500
"""How many kinds of batches are told apart: clients choose part of what makes a kind."""

Kind = tuple[object, ...]
"""What the time of a batch depends on besides its size."""


def kind_of(instructions: Instructions) -> Kind:
    """Return the kind of a batch: its tasks, and how long its texts may be."""
    return instructions.tasks, instructions.options.num_predict


class Pace:
    """The time that batches take, by kind and size; sizes between two powers of two are one."""

    def __init__(self, unknown_s: float) -> None:
        """Know nothing yet.

        Args:
            unknown_s: time-out of a batch whose time is unknown.
        """
        self._unknown_s = unknown_s
        self._seconds: dict[Kind, dict[int, deque[float]]] = {}

    def record(self, kind: Kind, images: int, seconds: float) -> None:
        """Record the time of a batch that was answered."""
        if images < 1 or (kind not in self._seconds and len(self._seconds) >= MAX_KINDS):
            return
        sizes = self._seconds.setdefault(kind, {})
        sizes.setdefault(images.bit_length(), deque(maxlen=SAMPLES)).append(seconds)

    def timeout_s(self, kind: Kind, images: int) -> float:
        """Return the seconds after which a batch hangs.

        They are proportional to the images where the time of fewer is known; twice as many images
        never take more than twice as long.
        """
        known = self._seconds.get(kind)
        if not known:
            return self._unknown_s
        expected_s = min(
            median(seconds) * max(1.0, images / (1 << (bits - 1)))
            for bits, seconds in known.items()
        )
        return max(min(self._unknown_s, FLOOR_S), FACTOR * expected_s)
