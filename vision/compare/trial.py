"""Asks one contestant about all photos, and measures it while nobody else is asked."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import median
from time import monotonic
from uuid import uuid4

from vision.compare.contestants import Contestant
from vision.measuring import HOUR_S, photo
from vision.runner.asking import Asker, Failed
from vision.runner.capacity import capacity
from vision.runner.crew import form_for
from vision.runner.driving import stopping_on_ctrl_c
from vision.runner.gate import Gate
from vision.runner.journal import Journal
from vision.runner.run import Runner
from vision.runner.work import Answer, Item, Outcome
from vision.schemas import OLLAMA, Worker
from vision.service import Service

ALONE = 5
"""Photos that are asked one after the other at most, and a third of all: as PhotoPrism asks."""


class Interrupted(Exception):
    """Ctrl-C was pressed; what was answered is in the journal."""


@dataclass
class Trial:
    """What a contestant said of each photo, and what that took."""

    contestant: Contestant
    answers: dict[str, Answer] = field(default_factory=dict)
    """By the photo's name."""
    faults: dict[str, str] = field(default_factory=dict)
    """Why there is no answer, by the photo's name."""
    known: int = 0
    """Photos whose answers were in the journal; they are in no figure of time."""
    alone: list[float] = field(default_factory=list)
    """Seconds of each photo that was asked by itself."""
    photos: int = 0
    """Photos that were answered in :attr:`seconds`, as many at once as the workers take."""
    seconds: float = 0.0
    energy_j: float | None = None
    """Joules that the GPUs used in :attr:`seconds`; ``None``: not all workers tell it."""
    memory_mb: int = 0
    """The most that a worker's model has needed; 0: not told, as by servers of Ollama."""
    devices: tuple[str, ...] = ()

    @property
    def alone_s(self) -> float | None:
        """Seconds for one photo, if nobody else asks; ``None``: not measured."""
        return median(self.alone) if self.alone else None

    @property
    def per_hour(self) -> float | None:
        """Photos per hour, as many at once as the workers take; ``None``: not measured."""
        return self.photos / self.seconds * HOUR_S if self.photos and self.seconds else None

    @property
    def photo_j(self) -> float | None:
        """Joules for one photo; ``None``: not measured."""
        return self.energy_j / self.photos if self.photos and self.energy_j else None

    def take(self, outcome: Outcome) -> None:
        """Take what is known of a photo."""
        name, task = outcome.item.name, self.contestant.task
        if task in outcome.answers:
            self.answers[name] = outcome.answers[task]
        else:
            self.faults[name] = outcome.faults[task]


class Course:
    """Where trials are held: one service, one journal, the same photos."""

    def __init__(
        self,
        service: Service,
        journal: Journal,
        photos: Sequence[Item],
        patience_s: float,
    ) -> None:
        """Prepare; nothing is asked yet.

        Args:
            service: who is asked.
            journal: what was asked before, and what will be.
            photos: all of them.
            patience_s: seconds that a service may answer nobody, until it is given up.
        """
        self._service, self._journal, self._photos = service, journal, photos
        self._patience_s = patience_s

    def hold(self, contestant: Contestant, seen: Callable[[int], None]) -> Trial:
        """Ask a contestant about all photos.

        Args:
            contestant: who is asked.
            seen: told how many photos are done, now and then.

        Raises:
            GaveUp: the service answers nobody.
            Interrupted: Ctrl-C was pressed.
            JournalError: the journal cannot be written.
            ServiceError: the service does not say which workers there are.
        """
        trial = Trial(contestant)
        left = self._recall(trial)
        seen(trial.known)
        if left:
            self._warm_up(contestant)
            count = min(ALONE, max(len(left) // 3, 1))
            first = self._run(trial, left[:count], 1, seen)
            trial.alone = [s for one in first if (s := _seconds(one, contestant.task))]
            most = capacity(self._service.models(), [contestant.question])
            before, began = self._workers(contestant), monotonic()
            rest = self._run(trial, left[count:], most, seen)
            trial.photos = sum(bool(one.asked) and one.is_complete for one in rest)
            trial.seconds = monotonic() - began
            trial.energy_j = energy_between(before, self._workers(contestant))
        self._look(trial)
        return trial

    def _recall(self, trial: Trial) -> list[Item]:
        """Take what the journal has; return the photos that have to be asked about."""
        runner, left = self._runner(trial.contestant, 1), []
        for item in self._photos:
            if (outcome := runner.known(item)) is None:
                left.append(item)
            else:
                trial.take(outcome)
        trial.known = len(trial.answers)
        return left

    def _warm_up(self, contestant: Contestant) -> None:
        """Have the model loaded, and its first batch behind it."""
        with suppress(Failed):  # a generated picture is none of the photos that count
            self._asker(Gate(1)).ask(contestant.question, photo(0), uuid4().hex)

    def _run(
        self, trial: Trial, items: Sequence[Item], most: int, seen: Callable[[int], None]
    ) -> list[Outcome]:
        runner, outcomes = self._runner(trial.contestant, most), []
        with stopping_on_ctrl_c(runner):
            for outcome in runner.run(items):
                trial.take(outcome)
                outcomes.append(outcome)
                seen(len(trial.answers) + len(trial.faults))
            for _ in runner.finish():
                pass  # it is in the journal
        if runner.is_stopped:
            raise Interrupted
        return outcomes

    def _runner(self, contestant: Contestant, most: int) -> Runner:
        gate = Gate(most)
        return Runner(
            self._journal,
            [contestant.question],
            gate,
            self._asker(gate),
            retry_failed=True,
            sent_as=form_for(self._service),
        )

    def _asker(self, gate: Gate) -> Asker:
        return Asker(self._service, gate, self._patience_s)

    def _look(self, trial: Trial) -> None:
        """Look at the workers that have done it."""
        workers = self._workers(trial.contestant)
        trial.memory_mb = max(
            (max(worker.memory_peak_mb, worker.memory_mb) for worker in workers), default=0
        )
        trial.devices = tuple(dict.fromkeys(worker.device for worker in workers if worker.device))

    def _workers(self, contestant: Contestant) -> tuple[Worker, ...]:
        models = {model.name: model.workers for model in self._service.models()}
        # Models of Ollama that have no row are passed on by the workers of its row.
        return models.get(contestant.model.name) or models.get(OLLAMA, ())


def energy_between(before: Sequence[Worker], after: Sequence[Worker]) -> float | None:
    """Return the joules that the GPUs of workers have used between two looks at them.

    Workers that share a GPU tell the same; each GPU counts once.

    Returns:
        ``None``: there are workers that do not tell, or that came or went meanwhile.
    """
    names = {worker.worker for worker in before}
    if not names or names != {worker.worker for worker in after}:
        return None
    if not all(worker.card for worker in (*before, *after)):
        return None
    first, last = _by_card(before), _by_card(after)
    if first.keys() != last.keys() or any(last[card] < first[card] for card in last):
        return None  # a driver that was loaded anew counts from zero
    return sum(last[card] - first[card] for card in last)


def _by_card(workers: Sequence[Worker]) -> dict[str, float]:
    """Return the newest joules of each GPU."""
    joules: dict[str, float] = {}
    for worker in workers:
        joules[worker.card] = max(joules.get(worker.card, 0.0), worker.card_energy_j)
    return joules


def _seconds(outcome: Outcome, task: str) -> float:
    """Return how long the model took for its answer; 0: it was not asked, or has said nothing."""
    return outcome.answers[task].seconds if outcome.asked and task in outcome.answers else 0.0
