"""How fast a model is on a server compared with its best: bookkeeping without I/O."""

import time
from collections import deque
from statistics import median
from typing import NamedTuple

from workers.remote.config import HealingOptions

ON_GPU = 0.5
"""A model with at least this fraction of its memory on the GPU counts as running there."""
MIN_LOAD_S = 0.5
"""Replies always report a load time; a shorter one means that the model was loaded already."""


class Sample(NamedTuple):
    """Measurements of one answer."""

    tokens_per_s: float
    gpu_share: float | None
    """Fraction of the model's memory that is on the GPU; ``None``: unknown."""
    concurrency: int = 1
    """Average number of requests on the server meanwhile; they slow each other down."""


class ConcurrencyMeter:
    """Measures how many requests a server has at the same time."""

    def __init__(self) -> None:
        self._count, self._request_s, self._at = 0, 0.0, time.monotonic()

    def change(self, by: int) -> None:
        """Record that ``by`` requests were added, or finished if negative."""
        self._request_s, self._at = self.mark()
        self._count += by

    def mark(self) -> tuple[float, float]:
        """Return a start point for :meth:`average_since`: request-seconds so far, and the time."""
        now = time.monotonic()
        return self._request_s + self._count * (now - self._at), now

    def average_since(self, mark: tuple[float, float]) -> int:
        """Return the average number of requests since then, rounded; at least 1."""
        request_s, now = self.mark()
        passed_s = now - mark[1]
        return max(1, round((request_s - mark[0]) / passed_s)) if passed_s > 0 else 1


class ThroughputMeter:
    """Compares the speed of a model's latest answers with the best at the same concurrency.

    With several requests at the same time, as many times more answers are compared: how requests
    overlap is random, and a few lucky answers would set a best that is never reached again.
    """

    def __init__(self, options: HealingOptions) -> None:
        self._options = options
        self._recent: deque[Sample] = deque()
        self._by_concurrency: dict[int, deque[float]] = {}
        self._best: dict[int, float] = {}
        self._was_on_gpu = False
        self.load_s = self.best_load_s = 0.0
        """Seconds of the latest and of the quickest load; 0: none was seen."""

    @property
    def current(self) -> float:
        """Median speed of the latest answers in tokens/s; 0: there are none."""
        return median(sample.tokens_per_s for sample in self._recent) if self._recent else 0.0

    @property
    def best(self) -> float:
        """Best median speed at the latest answers' concurrency, in tokens/s; 0: unknown."""
        if self._recent:
            return median(self._best_at(sample.concurrency) for sample in self._recent)
        return max(self._best.values(), default=0.0)

    def record(self, sample: Sample) -> None:
        """Record an answer."""
        window = self._window(sample)
        self._recent.append(sample)
        while len(self._recent) > window:
            self._recent.popleft()
        self._was_on_gpu |= sample.gpu_share is not None and sample.gpu_share >= ON_GPU
        speeds = self._by_concurrency.setdefault(sample.concurrency, deque(maxlen=window))
        speeds.append(sample.tokens_per_s)
        if len(speeds) == window:
            best = self._best.get(sample.concurrency, 0.0)
            self._best[sample.concurrency] = max(best, median(speeds))

    def record_load(self, seconds: float) -> bool:
        """Record the load time in a reply; return whether it was much longer than the best."""
        if seconds < MIN_LOAD_S:
            return False
        self.load_s = seconds
        self.best_load_s = min(seconds, self.best_load_s or seconds)
        return self.best_load_s < self._options.share * seconds

    def problem(self) -> str | None:
        """Return what is wrong with the latest answers; ``None``: nothing, or too few answers."""
        latest = list(self._recent)[-self._options.answers :]
        if len(latest) < self._options.answers:
            return None
        if all(self._left_gpu(sample.gpu_share) for sample in latest):
            return "it fell from the GPU to the CPU"
        if len(self._recent) < self._window(latest[-1]):
            return None
        if median(self._fraction_of_best(sample) for sample in self._recent) < self._options.share:
            return f"{self.current:.1f} tokens/s; its best was {self.best:.1f}"
        return None

    def is_normal(
        self, tokens_per_s: float | None, gpu_share: float | None, concurrency: int = 1
    ) -> bool:
        """Return whether one answer is as good as earlier ones.

        Without a speed, only whether the model runs on the GPU is compared.
        """
        if self._left_gpu(gpu_share):
            return False
        if tokens_per_s is None:
            return True
        return tokens_per_s >= self._options.share * self._best_at(concurrency)

    def reset(self) -> None:
        """Forget the latest answers, but not the best."""
        self._recent.clear()
        self._by_concurrency.clear()

    def _window(self, sample: Sample) -> int:
        """Return how many answers are compared."""
        return self._options.answers * sample.concurrency

    def _best_at(self, concurrency: int) -> float:
        """Return the best speed at this concurrency or a higher one, which is never faster."""
        return max((best for n, best in self._best.items() if n >= concurrency), default=0.0)

    def _fraction_of_best(self, sample: Sample) -> float:
        """Return the speed relative to the best; 1 where there is none yet."""
        best = self._best_at(sample.concurrency)
        return sample.tokens_per_s / best if best else 1.0

    def _left_gpu(self, gpu_share: float | None) -> bool:
        return self._was_on_gpu and gpu_share is not None and gpu_share < ON_GPU
