"""How fast one model is on one server, against its own best: pure bookkeeping."""

import time
from collections import deque
from collections.abc import Mapping
from statistics import median
from typing import Any, NamedTuple

from workers.remote.config import Healing

FEWEST_TOKENS = 3
"""Answers shorter than that say nothing about speed."""
ON_GPU = 0.5
"""From this share of its memory on, a model is taken to run on the GPU."""
LEAST_LOAD_S = 0.5
"""Servers tell of a load with each answer; a shorter one found the model loaded."""


class Sample(NamedTuple):
    """One answer."""

    tokens_per_s: float
    gpu_share: float | None
    """Share of the model's memory that is on the GPU; ``None``: the server does not say."""
    at_once: int = 1
    """Requests that the server had meanwhile, on average: together each is slower."""


def tokens_per_s(reply: Mapping[str, Any]) -> float | None:
    """Return the speed of generation: ``eval_count / eval_duration``, the latter in ns."""
    tokens, duration = reply.get("eval_count") or 0, reply.get("eval_duration") or 0
    if tokens < FEWEST_TOKENS or duration <= 0:
        return None
    return float(tokens) / float(duration) * 1e9


class Crowd:
    """How many requests a server has at once, and had on average."""

    def __init__(self) -> None:
        self._count, self._request_s, self._at = 0, 0.0, time.monotonic()

    def change(self, by: int) -> None:
        """Take note that requests came or went."""
        self._request_s, self._at = self.moment()
        self._count += by

    def moment(self) -> tuple[float, float]:
        """Return what :meth:`since` needs."""
        now = time.monotonic()
        return self._request_s + self._count * (now - self._at), now

    def since(self, moment: tuple[float, float]) -> int:
        """Return how many there were at once since then, on average; at least 1."""
        request_s, now = self.moment()
        passed_s = now - moment[1]
        return max(1, round((request_s - moment[0]) / passed_s)) if passed_s > 0 else 1


class Pace:
    """The last answers, and the best that as many have ever been, with as many at once.

    Where several are made at once, as many times more are looked at: how they meet is chance, and
    a few lucky ones would be a best that is never reached again.
    """

    def __init__(self, options: Healing) -> None:
        self._options = options
        self._recent: deque[Sample] = deque()
        self._alike: dict[int, deque[float]] = {}
        self._bests: dict[int, float] = {}
        self._was_on_gpu = False
        self.load_s = self.best_load_s = 0.0
        """The last load and the quickest; 0: none was seen."""

    @property
    def now(self) -> float:
        """Median of the last answers in tokens/s; 0: there are none."""
        return median(sample.tokens_per_s for sample in self._recent) if self._recent else 0.0

    @property
    def best(self) -> float:
        """Best median of answers like the last ones, in tokens/s; 0: not known yet."""
        if self._recent:
            return median(self._best_with(sample.at_once) for sample in self._recent)
        return max(self._bests.values(), default=0.0)

    def note(self, sample: Sample) -> None:
        """Take note of an answer."""
        wanted = self._wanted(sample)
        self._recent.append(sample)
        while len(self._recent) > wanted:
            self._recent.popleft()
        self._was_on_gpu |= sample.gpu_share is not None and sample.gpu_share >= ON_GPU
        alike = self._alike.setdefault(sample.at_once, deque(maxlen=wanted))
        alike.append(sample.tokens_per_s)
        if len(alike) == wanted:
            best = self._bests.get(sample.at_once, 0.0)
            self._bests[sample.at_once] = max(best, median(alike))

    def note_load(self, reply: Mapping[str, Any]) -> bool:
        """Take note of the load that an answer tells of; say whether it was much too slow."""
        seconds = float(reply.get("load_duration") or 0) / 1e9
        if seconds < LEAST_LOAD_S:
            return False
        self.load_s = seconds
        self.best_load_s = min(seconds, self.best_load_s or seconds)
        return self.best_load_s < self._options.share * seconds

    def trouble(self) -> str | None:
        """Say what is wrong with the last answers, once there are enough of them."""
        last = list(self._recent)[-self._options.answers :]
        if len(last) < self._options.answers:
            return None
        if all(self._fell(sample.gpu_share) for sample in last):
            return "it fell from the GPU to the CPU"
        if len(self._recent) < self._wanted(last[-1]):
            return None
        if median(self._share_of_best(sample) for sample in self._recent) < self._options.share:
            return f"{self.now:.1f} tokens/s; its best was {self.best:.1f}"
        return None

    def is_good(self, speed: float | None, gpu_share: float | None, at_once: int = 1) -> bool:
        """Say whether one answer is as the model used to be; without a speed, its place tells."""
        fast = speed is None or speed >= self._options.share * self._best_with(at_once)
        return fast and not self._fell(gpu_share)

    def forget(self) -> None:
        """Begin to watch anew; what was best is kept."""
        self._recent.clear()
        self._alike.clear()

    def _wanted(self, sample: Sample) -> int:
        """Return how many answers are looked at together."""
        return self._options.answers * sample.at_once

    def _best_with(self, at_once: int) -> float:
        """Return the best with as many at once; with more at once it would not be better."""
        return max((best for n, best in self._bests.items() if n >= at_once), default=0.0)

    def _share_of_best(self, sample: Sample) -> float:
        """Return 1 where nothing is known to compare with."""
        best = self._best_with(sample.at_once)
        return sample.tokens_per_s / best if best else 1.0

    def _fell(self, gpu_share: float | None) -> bool:
        return self._was_on_gpu and gpu_share is not None and gpu_share < ON_GPU
