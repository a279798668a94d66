"""How long batches may take, and what of their time is fixed: learnt from how long they take."""

from collections import deque
from typing import NamedTuple

from shared.messages import Instructions

FACTOR = 10
"""A batch hangs once it has taken so many times as long as expected. Answers to one prompt are up
to some four times as long as to another."""
FLOOR_S = 30.0
"""Least time-out of a batch whose time is known: a busy machine may stand still for seconds."""
SAMPLES = 9
"""How many batches of a kind and size the median is taken of."""
LEAST_SAMPLES = 3
"""Of a size, to tell how quick it is: on a GPU, the first two take up to ten times as long."""
MAX_KINDS = 500
"""How many kinds of batches are told apart: clients choose part of what makes a kind."""

Kind = tuple[object, ...]
"""What the time of a batch depends on besides its size."""


def kind_of(instructions: Instructions) -> Kind:
    """Return the kind of a batch: its tasks, and how long its texts may be."""
    return instructions.tasks, instructions.options.num_predict


class _Sample(NamedTuple):
    seconds: float
    images: int


class Pace:
    """The time that batches take, by kind and size; sizes between two powers of two are one."""

    def __init__(self, unknown_s: float) -> None:
        """Know nothing yet.

        Args:
            unknown_s: time-out of a batch whose time is unknown.
        """
        self._unknown_s = unknown_s
        self._samples: dict[Kind, dict[int, deque[_Sample]]] = {}

    def record(self, kind: Kind, images: int, seconds: float) -> None:
        """Record the time of a batch that was answered."""
        if images < 1 or (kind not in self._samples and len(self._samples) >= MAX_KINDS):
            return
        sizes = self._samples.setdefault(kind, {})
        samples = sizes.setdefault(images.bit_length(), deque(maxlen=SAMPLES))
        samples.append(_Sample(seconds, images))

    def fixed_s(self, kind: Kind) -> float | None:
        """Return what a batch takes besides the time for each image; ``None``: that is not known.

        It is where the line through the smallest and the largest known batches meets no images, by
        the quickest of each. With fewer than :data:`LEAST_SAMPLES` a size counts as unknown.
        """
        known = self._samples.get(kind, {})
        sizes = [bits for bits, samples in known.items() if len(samples) >= LEAST_SAMPLES]
        if len(sizes) <= 1:
            return None
        small, large = (min(known[bits]) for bits in (min(sizes), max(sizes)))
        per_image_s = (large.seconds - small.seconds) / (large.images - small.images)
        return max(0.0, small.seconds - small.images * max(0.0, per_image_s))

    def timeout_s(self, kind: Kind, images: int) -> float:
        """Return the seconds after which a batch hangs.

        They are proportional to the images where the time of fewer is known; twice as many images
        never take more than twice as long.
        """
        known = self._samples.get(kind)
        if not known:
            return self._unknown_s
        expected_s = min(
            _usual(samples).seconds * max(1.0, images / (1 << (bits - 1)))
            for bits, samples in known.items()
        )
        return max(min(self._unknown_s, FLOOR_S), FACTOR * expected_s)


def _usual(samples: "deque[_Sample]") -> _Sample:
    """Return the median."""
    return sorted(samples)[len(samples) // 2]
