"""How fast one model is on one server, against its own best: pure bookkeeping."""

from collections import deque
from collections.abc import Mapping
from statistics import median
from typing import Any, NamedTuple

from workers.ollama.config import Healing

FEWEST_TOKENS = 3
"""Answers shorter than that say nothing about speed."""
ON_GPU = 0.5
"""From this share of its memory on, a model is taken to run on the GPU."""


class Sample(NamedTuple):
    """One answer."""

    tokens_per_s: float
    gpu_share: float | None
    """Share of the model's memory that is on the GPU; ``None``: the server does not say."""


def tokens_per_s(reply: Mapping[str, Any]) -> float | None:
    """Return the speed of generation: ``eval_count / eval_duration``, the latter in ns."""
    tokens, duration = reply.get("eval_count") or 0, reply.get("eval_duration") or 0
    if tokens < FEWEST_TOKENS or duration <= 0:
        return None
    return float(tokens) / float(duration) * 1e9


class Pace:
    """The last answers, and the best that as many in a row have ever been."""

    def __init__(self, options: Healing) -> None:
        self._options = options
        self._recent: deque[Sample] = deque(maxlen=options.answers)
        self.best = 0.0
        """Best median of ``answers`` answers in a row, in tokens/s; 0: not known yet."""
        self._was_on_gpu = False

    @property
    def now(self) -> float:
        """Median of the last answers in tokens/s; 0: there are none."""
        return median(sample.tokens_per_s for sample in self._recent) if self._recent else 0.0

    def note(self, sample: Sample) -> None:
        """Take note of an answer."""
        self._recent.append(sample)
        self._was_on_gpu |= sample.gpu_share is not None and sample.gpu_share >= ON_GPU
        if len(self._recent) == self._options.answers:
            self.best = max(self.best, self.now)

    def trouble(self) -> str | None:
        """Say what is wrong with the last answers, once there are enough of them."""
        if len(self._recent) < self._options.answers:
            return None
        if all(self._fell(sample) for sample in self._recent):
            return "it fell from the GPU to the CPU"
        if self.now < self._options.share * self.best:
            return f"{self.now:.1f} tokens/s; its best was {self.best:.1f}"
        return None

    def is_good(self, sample: Sample) -> bool:
        """Say whether one answer is as the model used to be."""
        fast = sample.tokens_per_s >= self._options.share * self.best
        return fast and not self._fell(sample)

    def forget(self) -> None:
        """Begin to watch anew; what was best is kept."""
        self._recent.clear()

    def _fell(self, sample: Sample) -> bool:
        return self._was_on_gpu and sample.gpu_share is not None and sample.gpu_share < ON_GPU
