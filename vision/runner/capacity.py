"""How many requests a service can take at once, as its workers tell."""

import contextlib
import time
from collections.abc import Iterable, Sequence

from vision.runner.gate import LEAST, MOST, Gate
from vision.runner.work import Question
from vision.schemas import OLLAMA, Model, Worker
from vision.service import Service, ServiceError

PER_PLACE = 2
"""Requests for each place in a batch: one is computed while another waits to take its place."""

LOOK_S = 10.0
"""Between two looks at the workers, which come and go."""


class Follower:
    """Has a gate follow the workers there are."""

    def __init__(self, service: Service, questions: Sequence[Question], gate: Gate) -> None:
        """Follow from now on; how many there are now, the gate knows."""
        self._service, self._questions, self._gate = service, questions, gate
        self._looked_at = time.monotonic()

    def look(self) -> None:
        """Look at the workers, if the last look is some time ago."""
        if time.monotonic() - self._looked_at > LOOK_S:
            self._looked_at = time.monotonic()
            with contextlib.suppress(ServiceError):
                self._gate.allow(capacity(self._service.models(), self._questions))


def capacity(models: Sequence[Model], questions: Iterable[Question]) -> int:
    """Return how many requests should be in flight to keep all workers of these models busy.

    Args:
        models: those of the catalogue, with their workers.
        questions: about each photo; they are asked one after the other.
    """
    names = {question.model for question in questions}
    serving = [model for model in models if model.name in names]
    passed_on = names - {model.name for model in serving}
    if passed_on:  # to Ollama, by the workers of its row
        serving += [model for model in models if model.name == OLLAMA]
    places = sum(_places(worker) for model in serving for worker in model.workers if worker.is_up)
    return min(max(PER_PLACE * places, LEAST), MOST)


def _places(worker: Worker) -> int:
    if worker.hosts:
        return sum(int(host.get("parallel", 1)) for host in worker.hosts if host.get("up"))
    return worker.max_batch
